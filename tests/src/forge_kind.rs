//! Kinds of forges that are not GitHub, and how each delivers a push: headers, signature and payload.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::{
    api::Api,
    delivery::{self, path, send_as, signature},
    fake_forge::{Hook, OWNER, number},
    repository::{Commit, NO_COMMIT, Repository},
};

/// A forge that is not GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// It signs nothing: the secret itself comes along.
    Gitlab,
    /// It signs as GitHub does, and tells less.
    Gitea,
}

impl ForgeKind {
    /// Its name in a registration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// The user that goes with a token when it is cloned from.
    pub fn clone_user(self) -> &'static str {
        match self {
            Self::Gitlab => "oauth2",
            Self::Gitea => "git",
        }
    }

    /// Its word for a commit that failed.
    pub fn failed(self) -> &'static str {
        match self {
            Self::Gitlab => "failed",
            Self::Gitea => "failure",
        }
    }

    /// Tells `hook` of what was pushed: the gateway's answer.
    pub async fn tell(
        self,
        api: &Api,
        hook: &Hook,
        repository: &Repository,
        commit: &Commit,
    ) -> (StatusCode, Value) {
        let (event, payload) = match self {
            Self::Gitlab => ("Push Hook", gitlab_push(repository, commit)),
            Self::Gitea if commit.sha == NO_COMMIT => ("delete", gitea_delete(repository, commit)),
            Self::Gitea => ("push", gitea_push(repository, commit)),
        };
        let body = serde_json::to_vec(&payload).expect("a value is JSON");
        let id = uuid::Uuid::now_v7().to_string();
        let mut headers = HeaderMap::new();
        let mut say = |name: &'static str, text: &str| {
            headers.insert(name, HeaderValue::from_str(text).expect("a header"));
        };
        say("content-type", "application/json");
        match self {
            Self::Gitlab => {
                say("x-gitlab-event", event);
                say("x-gitlab-token", &hook.secret);
                say("x-gitlab-event-uuid", &id);
                say("idempotency-key", &id);
            }
            Self::Gitea => {
                let signed = signature(&hook.secret, &body);
                say("x-gitea-signature", signed.trim_start_matches("sha256="));
                say("x-hub-signature-256", &signed);
                for (of_event, of_id) in
                    [("x-gitea-event", "x-gitea-delivery"), ("x-github-event", "x-github-delivery")]
                {
                    say(of_event, event);
                    say(of_id, &id);
                }
            }
        }
        send_as(api, &path(&hook.url), headers, body).await
    }
}

fn full_name(repository: &Repository) -> String {
    format!("{OWNER}/{}", repository.name)
}

fn gitlab_push(repository: &Repository, commit: &Commit) -> Value {
    let gone = commit.sha == NO_COMMIT;
    let head = json!({ "id": commit.sha, "message": "a change", "title": "a change" });
    json!({
        "object_kind": "push", "event_name": "push",
        "ref": commit.reference, "before": commit.before, "after": commit.sha,
        "checkout_sha": if gone { Value::Null } else { json!(commit.sha) },
        "user_username": "ada",
        "project_id": number(&full_name(repository)),
        "project": {
            "id": number(&full_name(repository)), "name": repository.name,
            "path_with_namespace": full_name(repository), "git_http_url": repository.url,
            "web_url": repository.url.trim_end_matches(".git"), "visibility_level": 0, "default_branch": "main",
        },
        "commits": if gone { json!([]) } else { json!([head]) },
        "total_commits_count": u8::from(!gone),
    })
}

fn gitea_repository(repository: &Repository) -> Value {
    let mut described = delivery::described(repository);
    described["private"] = true.into();
    described["owner"] = json!({ "id": 2, "login": OWNER, "username": OWNER });
    described
}

/// What Gitea tells of a push: without `created`, `deleted` and `forced`, which Gitea does not tell.
pub fn gitea_push(repository: &Repository, commit: &Commit) -> Value {
    let head = json!({ "id": commit.sha, "message": "a change\n" });
    json!({
        "ref": commit.reference, "before": commit.before, "after": commit.sha,
        "commits": [head], "total_commits": 1, "head_commit": head,
        "repository": gitea_repository(repository),
        "pusher": { "login": "ada", "username": "ada" }, "sender": { "login": "ada" },
    })
}

/// All that Gitea tells when a branch is removed.
pub fn gitea_delete(repository: &Repository, commit: &Commit) -> Value {
    json!({
        "ref": commit.reference.trim_start_matches("refs/heads/"), "ref_type": "branch", "pusher_type": "user",
        "repository": gitea_repository(repository), "sender": { "login": "ada" },
    })
}
