//! A repository on the forge and its author's working copy: real commits, real pushes, and our
//! `post-receive` where the repository is registered.

use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::{
    fake_forge::OWNER,
    function::{Function, Node},
    git::{self, git, git_line},
};

/// All zeros: no commit.
pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// What registering told.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Registration {
    /// The repository's id.
    pub id: String,
    /// Where deliveries go.
    pub webhook_url: String,
    /// What signs them.
    pub secret: String,
}

/// A repository.
#[derive(Debug)]
pub struct Repository {
    /// Without owner and `.git`.
    pub name: String,
    /// Where it is cloned from.
    pub url: String,
    /// Where it is on disk.
    pub bare: PathBuf,
    registration: Option<Registration>,
    tree: tempfile::TempDir,
}

/// What was pushed, and what the hook was told.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The full ref.
    pub reference: String,
    /// What the ref was before.
    pub before: String,
    /// The commit; of an annotated tag the tag object's commit.
    pub sha: String,
    /// What `git push` showed.
    pub told: String,
}

impl Commit {
    /// The job that the gateway answered with.
    pub fn job(&self) -> String {
        let after = self.told.split("job ").nth(1);
        let id = after.and_then(|text| text.split([',', ':', ' ', '\n', '\r']).next());
        id.unwrap_or_else(|| panic!("the push made no job: {}", self.told)).to_owned()
    }
}

impl Repository {
    pub(crate) async fn create(repos: &Path, name: &str, url: String) -> Self {
        let bare = repos.join(OWNER).join(format!("{name}.git"));
        std::fs::create_dir_all(&bare).expect("a folder can be made");
        git(&bare, &["init", "-q", "--bare", "-b", "main", "."]).await;
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]).await;
        let tree = tempfile::tempdir().expect("a temporary folder");
        git(tree.path(), &["init", "-q", "-b", "main", "."]).await;
        let remote = bare.to_str().expect("a temporary folder has a plain name");
        git(tree.path(), &["remote", "add", "origin", remote]).await;
        Self { name: name.to_owned(), url, bare, registration: None, tree }
    }

    /// What registering told.
    pub fn registration(&self) -> &Registration {
        self.registration.as_ref().unwrap_or_else(|| panic!("{} is not registered", self.name))
    }

    /// From now on a push is told to the service.
    pub async fn hooked(mut self, registration: Registration) -> Self {
        let settings =
            [("url", &registration.webhook_url), ("secret", &registration.secret), ("cloneurl", &self.url)];
        for (name, value) in settings {
            git(&self.bare, &["config", &format!("gitfaas.{name}"), value]).await;
        }
        let hook = self.bare.join("hooks/post-receive");
        std::fs::create_dir_all(self.bare.join("hooks")).expect("a folder can be made");
        std::fs::write(&hook, hooks::POST_RECEIVE).expect("a hook can be written");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("a file of ours");
        self.registration = Some(registration);
        self
    }

    /// Commits and pushes to `main`.
    pub async fn push(&self, function: Function) -> Commit {
        self.push_to("main", function, "a change").await
    }

    /// Commits and pushes to a branch, which is made from where the working copy is.
    pub async fn push_to(&self, branch: &str, function: Function, message: &str) -> Commit {
        self.commit(branch, function, message).await;
        self.publish(&format!("refs/heads/{branch}"), "HEAD").await
    }

    /// Commits without pushing.
    pub async fn commit(&self, branch: &str, function: Function, message: &str) -> String {
        let tree = self.tree.path();
        if git::command(tree)
            .args(["checkout", "-q", branch])
            .output()
            .await
            .is_ok_and(|output| !output.status.success())
        {
            git(tree, &["checkout", "-q", "-B", branch]).await;
        }
        for entry in std::fs::read_dir(tree).expect("the working copy can be read") {
            let path = entry.expect("the working copy can be read").path();
            if path.file_name().is_some_and(|name| name == ".git") {
                continue;
            }
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.expect("the working copy is ours");
        }
        for (path, node) in function.nodes() {
            let path = tree.join(path);
            std::fs::create_dir_all(path.parent().expect("it lies in the tree"))
                .expect("a folder can be made");
            match node {
                Node::File(bytes) => std::fs::write(&path, bytes).expect("a file can be written"),
                Node::Symlink(target) => symlink(target, &path).expect("a symlink can be made"),
            }
        }
        git(tree, &["add", "-A", "."]).await;
        git(tree, &["commit", "-q", "--allow-empty", "-m", message]).await;
        git_line(tree, &["rev-parse", "HEAD"]).await
    }

    /// Tags what the working copy is at, with an annotation, and pushes the tag.
    pub async fn tag(&self, name: &str) -> Commit {
        git(self.tree.path(), &["tag", "-a", "-m", "a release", name]).await;
        self.publish(&format!("refs/tags/{name}"), &format!("refs/tags/{name}")).await
    }

    /// Removes a branch at the forge.
    pub async fn delete(&self, branch: &str) -> Commit {
        let reference = format!("refs/heads/{branch}");
        let before = git_line(&self.bare, &["rev-parse", &reference]).await;
        let told = self.told(&["push", "--porcelain", "origin", &format!(":{reference}")]).await;
        Commit { reference, before, sha: NO_COMMIT.to_owned(), told }
    }

    /// Brings what was committed to the forge's `main` without anybody being told.
    pub async fn receive(&self, sha: &str) {
        self.receive_as("refs/heads/main", sha).await;
    }

    /// Brings what was committed to a ref of the forge without anybody being told.
    pub async fn receive_as(&self, reference: &str, sha: &str) {
        let tree = self.tree.path().to_str().expect("a temporary folder has a plain name");
        git(&self.bare, &["fetch", "-q", tree, &format!("+{sha}:{reference}")]).await;
    }

    async fn publish(&self, reference: &str, what: &str) -> Commit {
        let before = git::command(&self.bare).args(["rev-parse", "--verify", "-q", reference]).output().await;
        let before = before.ok().filter(|output| output.status.success());
        let before = before.map_or_else(
            || NO_COMMIT.to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        );
        let told =
            self.told(&["push", "--force", "--porcelain", "origin", &format!("{what}:{reference}")]).await;
        let sha = git_line(self.tree.path(), &["rev-parse", &format!("{what}^{{commit}}")]).await;
        Commit { reference: reference.to_owned(), before, sha, told }
    }

    async fn told(&self, arguments: &[&str]) -> String {
        let output = git(self.tree.path(), arguments).await;
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
