//! Fetching itself, with gix. Blocking: callers spawn it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gix::{ObjectId, bstr::BString, protocol::handshake::Ref, remote::Direction};

use super::{Checkout, CheckoutError, NotGit, Request, mirrors::Settings, object_id, transport};
use crate::source::CommitFiles;

/// How often the size of a fetch under way is looked at.
const SIZE_LOOK: Duration = Duration::from_millis(100);
/// A mirror that has grown to this many times the largest repository is made anew.
const MIRROR_GROWTH: u64 = 3;

/// Brings the commit into the mirror at `path`, unless it is there already. A mirror into which nothing
/// was ever brought is not kept.
pub(super) fn bring(
    settings: &Settings,
    path: &Path,
    request: &Request,
    interrupt: &Arc<AtomicBool>,
) -> Result<Checkout, CheckoutError> {
    hooks::address::check_url(request.url.as_url(), &settings.allow)
        .map_err(|error| CheckoutError::Refused(error.to_string()))?;
    let brought = bring_into(settings, path, request, interrupt);
    if brought.is_err() && !holds_any(path) {
        // Nothing is lost if it cannot be removed: it is empty.
        let _ = std::fs::remove_dir_all(path);
    }
    brought
}

/// Whether any commit was brought into the mirror.
fn holds_any(path: &Path) -> bool {
    let Ok(repository) = gix::open_opts(path, gix::open::Options::isolated()) else { return false };
    let Ok(references) = repository.references() else { return true };
    references.prefixed("refs/gitfaas/").map_or(true, |mut kept| kept.next().is_some())
}

fn bring_into(
    settings: &Settings,
    path: &Path,
    request: &Request,
    interrupt: &Arc<AtomicBool>,
) -> Result<Checkout, CheckoutError> {
    let repository = open(settings, path)?;
    // What is used last is removed last.
    let _ = std::fs::File::open(path).and_then(|folder| folder.set_modified(std::time::UNIX_EPOCH + now()));
    let known = match (&request.sha, &request.reference) {
        (Some(sha), _) => Some(object_id(sha)),
        (None, Some(reference)) => reference.parse().ok().map(|sha| object_id(&sha)),
        (None, None) => None,
    };
    let id = match known {
        Some(id) => id,
        None => resolve(settings, &repository, request)?,
    };
    if !is_whole(&repository, id) {
        receive(settings, &repository, request, id, interrupt)?;
    }
    // Opened anew: the object database of this handle may not know the new pack.
    let repository = gix::open_opts(path, gix::open::Options::isolated())
        .map_err(|error| CheckoutError::Broken(error.to_string()))?;
    let commit = peel(&repository, id)?;
    let files = CommitFiles::new(Arc::new(repository.into_sync()), commit)?;
    Ok(Checkout { sha: commit.to_hex().to_string().parse().expect("a commit id is 40 hex digits"), files })
}

fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a file's time, compared with other files' times alone")]
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn open(settings: &Settings, path: &Path) -> Result<gix::Repository, CheckoutError> {
    let broken = |error: gix::Error| CheckoutError::Broken(format!("{error:#}"));
    if size(path) > settings.max_bytes.saturating_mul(MIRROR_GROWTH) {
        std::fs::remove_dir_all(path).map_err(|error| CheckoutError::Broken(error.to_string()))?;
    }
    match gix::open_opts(path, gix::open::Options::isolated()) {
        Ok(repository) => Ok(repository),
        Err(_) => {
            // Half made, damaged or not there: all the same, it is only a copy.
            let _ = std::fs::remove_dir_all(path);
            gix::ThreadSafeRepository::init_opts(
                path,
                gix::create::Kind::Bare,
                gix::create::Options::default(),
                gix::open::Options::isolated(),
            )
            .map(|repository| repository.to_thread_local())
            .map_err(broken)
        }
    }
}

/// The ref under which a fetched commit is kept; it says that all of it arrived.
fn kept(id: ObjectId) -> String {
    format!("refs/gitfaas/{}", id.to_hex())
}

fn is_whole(repository: &gix::Repository, id: ObjectId) -> bool {
    repository.find_reference(&kept(id)).is_ok() && repository.has_object(id)
}

/// An annotated tag leads to its commit.
fn peel(repository: &gix::Repository, id: ObjectId) -> Result<ObjectId, CheckoutError> {
    let object = repository.find_object(id).map_err(|error| CheckoutError::Broken(format!("{error:#}")))?;
    let commit = object
        .peel_to_kind(gix::object::Kind::Commit)
        .map_err(|_| CheckoutError::NoSuchCommit(id.to_hex().to_string()))?;
    Ok(commit.id)
}

type Connection<'a, 'r> = gix::remote::Connection<
    'a,
    'a,
    'r,
    Box<dyn gix::protocol::transport::client::blocking_io::Transport + Send>,
>;

fn with_connection<T>(
    settings: &Settings,
    repository: &gix::Repository,
    request: &Request,
    specs: &[String],
    wanted: &str,
    act: impl FnOnce(Connection<'_, '_>) -> Result<T, gix::Error>,
) -> Result<T, CheckoutError> {
    let (allow, ca_bundle) = (&settings.allow, settings.ca_bundle.as_deref());
    let options = transport::options(allow, ca_bundle, request).map_err(CheckoutError::Broken)?;
    let fetching = || -> Result<T, gix::Error> {
        let specs = specs.iter().map(|spec| BString::from(spec.as_str()));
        let remote = repository
            .remote_at_without_url_rewrite(request.url.as_str())?
            .with_fetch_tags(gix::remote::fetch::Tags::None)
            .with_refspecs(specs, Direction::Fetch)?;
        let connection = remote
            .connect(Direction::Fetch)?
            .with_transport_options(options)
            .with_credentials(transport::credentials(allow.clone(), request.clone()));
        act(connection)
    };
    fetching().map_err(|error| match CheckoutError::read(&error, wanted) {
        CheckoutError::NotGit(NotGit::Other) => {
            CheckoutError::NotGit(transport::what_is_there(allow, ca_bundle, request))
        }
        other => other,
    })
}

/// Asks the forge which commit a ref names now.
fn resolve(
    settings: &Settings,
    repository: &gix::Repository,
    request: &Request,
) -> Result<ObjectId, CheckoutError> {
    let names: Vec<String> = match request.reference.as_deref() {
        None | Some("HEAD") => vec!["HEAD".to_owned()],
        Some(full) if full.starts_with("refs/") => vec![full.to_owned()],
        Some(short) => vec![format!("refs/heads/{short}"), format!("refs/tags/{short}")],
    };
    let wanted = request.reference.clone().unwrap_or_else(|| "HEAD".to_owned());
    let no_such_ref = || CheckoutError::NoSuchRef(wanted.clone());
    if names
        .iter()
        .any(|name| name != "HEAD" && gix::validate::reference::name(name.as_str().into()).is_err())
    {
        return Err(no_such_ref());
    }
    let refs = with_connection(settings, repository, request, &names, &wanted, |connection| {
        let (map, _) = connection.ref_map(gix::progress::Discard, Default::default())?;
        Ok(map.remote_refs)
    })?;
    let named = |name: &str| {
        refs.iter().find_map(|found| match found {
            Ref::Peeled { full_ref_name, object, .. } | Ref::Direct { full_ref_name, object }
                if full_ref_name == name =>
            {
                Some(*object)
            }
            Ref::Symbolic { full_ref_name, object, .. } if full_ref_name == name => Some(*object),
            _ => None,
        })
    };
    match names.iter().find_map(|name| named(name)) {
        Some(id) => Ok(id),
        None if request.reference.is_none() => Err(without_default(settings, repository, request, &refs)),
        None => Err(no_such_ref()),
    }
}

/// HEAD leads nowhere: there is nothing at all, or not the branch that it names.
fn without_default(
    settings: &Settings,
    repository: &gix::Repository,
    request: &Request,
    head: &[Ref],
) -> CheckoutError {
    let branches = ["refs/heads/*:refs/gitfaas-heads/*".to_owned()];
    let found = with_connection(settings, repository, request, &branches, "HEAD", |connection| {
        let (map, _) = connection.ref_map(gix::progress::Discard, Default::default())?;
        Ok(map.remote_refs.iter().any(|found| !matches!(found, Ref::Unborn { .. })))
    });
    let named = head.iter().find_map(|found| match found {
        Ref::Unborn { target, .. } => Some(target.to_string()),
        _ => None,
    });
    match found {
        Ok(true) => {
            let named = named.unwrap_or_else(|| "HEAD".to_owned());
            CheckoutError::NoDefaultBranch(named.trim_start_matches("refs/heads/").to_owned())
        }
        Ok(false) => CheckoutError::Empty,
        Err(error) => error,
    }
}

fn receive(
    settings: &Settings,
    repository: &gix::Repository,
    request: &Request,
    id: ObjectId,
    interrupt: &Arc<AtomicBool>,
) -> Result<(), CheckoutError> {
    let hex = id.to_hex().to_string();
    let spec = format!("+{hex}:{}", kept(id));
    let objects = repository.objects.store_ref().path().to_owned();
    let watch = SizeWatch::start(objects, settings.max_bytes, Arc::clone(interrupt));
    let received = with_connection(settings, repository, request, &[spec], &hex, |connection| {
        let one = std::num::NonZeroU32::MIN;
        connection
            .prepare_fetch(gix::progress::Discard, Default::default())?
            .with_shallow(gix::remote::fetch::Shallow::DepthAtRemote(one))
            .receive(gix::progress::Discard, interrupt)
    });
    if watch.stop() {
        return Err(CheckoutError::TooLarge(settings.max_bytes));
    }
    received.map(|_| ())
}

/// Looks at the size of the object database while a fetch writes to it; gix knows no limit.
struct SizeWatch {
    done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<bool>,
}

impl SizeWatch {
    fn start(objects: std::path::PathBuf, max_bytes: u64, interrupt: Arc<AtomicBool>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let before = size(&objects);
        let thread = std::thread::spawn({
            let done = Arc::clone(&done);
            move || loop {
                let over = size(&objects).saturating_sub(before) > max_bytes;
                if over {
                    interrupt.store(true, Ordering::Relaxed);
                }
                if over || done.load(Ordering::Relaxed) {
                    return over;
                }
                std::thread::park_timeout(SIZE_LOOK);
            }
        });
        Self { done, thread }
    }

    /// Whether it grew too large.
    fn stop(self) -> bool {
        self.done.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or(false)
    }
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
