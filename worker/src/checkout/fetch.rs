//! Bringing a commit into a mirror. Blocking: callers spawn it.
//!
//! A mirror is a bare repository in git's own layout. What the server sends is inspected while it comes
//! ([`crate::objects`]); a fetch that fails leaves nothing behind but what was there before.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use gix::{ObjectId, protocol::handshake::Ref};

use super::{
    Checkout, CheckoutError, Request, checkout_of, git_session::GitSession, mirrors::MirrorSettings,
    object_id,
};
use crate::objects::{Deadline, Limits, MAX_PACKS, ObjectError, Store, receive};

/// A mirror that has grown to this many times the largest repository is made anew.
const MIRROR_GROWTH: u64 = 3;
/// How many of the commits that are here a server is told of, the newest first.
const MAX_HAVES: usize = 32;
/// Where fetched commits are kept; a name there says that all of its commit arrived.
const KEPT: &str = "refs/gitfaas";

/// Brings the commit into the mirror at `path`, unless it is there already. A mirror into which nothing
/// was ever brought is not kept.
pub(super) fn bring(
    settings: &MirrorSettings,
    path: &Path,
    request: &Request,
    deadline: &Deadline,
) -> Result<Checkout, CheckoutError> {
    hooks::address::check_url(request.url.as_url(), &settings.allow)
        .map_err(|error| CheckoutError::Refused(error.to_string()))?;
    let brought = bring_into(settings, path, request, deadline);
    if brought.is_err() && kept_commits(path).is_empty() {
        // Nothing is lost if it cannot be removed: it is empty.
        let _ = fs::remove_dir_all(path);
    }
    brought
}

fn broken(error: impl std::fmt::Display) -> CheckoutError {
    CheckoutError::Broken(error.to_string())
}

fn bring_into(
    settings: &MirrorSettings,
    path: &Path,
    request: &Request,
    deadline: &Deadline,
) -> Result<Checkout, CheckoutError> {
    let mut store = open(settings, path)?;
    touch(path);
    let known = match (&request.sha, &request.reference) {
        (Some(sha), _) => Some(object_id(sha)),
        (None, Some(reference)) => reference.parse().ok().map(|sha| object_id(&sha)),
        (None, None) => None,
    };
    let (id, mut session) = match known {
        Some(id) => (id, None),
        None => {
            let wanted = request.reference.as_deref().unwrap_or("HEAD");
            let mut session = GitSession::begin(settings, request, wanted, deadline)?;
            (resolve(&mut session, request)?, Some(session))
        }
    };
    let mut found = None;
    if kept(path, id).is_file() && store.has(&id) {
        match store.commit(id, deadline) {
            // It was whole when it came; our disk is mended by fetching it again.
            Err(ObjectError::Damaged(_) | ObjectError::Missing(_)) => {
                store.note_damage();
                store = open(settings, path)?;
            }
            other => found = Some(other),
        }
    }
    let found = match found {
        Some(found) => found,
        None => {
            let session = match &mut session {
                Some(session) => session,
                None => {
                    let wanted = id.to_hex().to_string();
                    session.insert(GitSession::begin(settings, request, &wanted, deadline)?)
                }
            };
            store = fetch(settings, path, store, session, id, deadline)?;
            store.commit(id, deadline)
        }
    };
    let found = found.map_err(CheckoutError::of_objects)?;
    let (commit, tree) = found.ok_or_else(|| CheckoutError::NoSuchCommit(id.to_hex().to_string()))?;
    Ok(checkout_of(Arc::new(store), commit, tree))
}

/// Notes that a mirror is used now: what is used last is removed last.
pub(super) fn touch(path: &Path) {
    let _ = fs::File::open(path).and_then(|folder| folder.set_modified(std::time::UNIX_EPOCH + now()));
}

fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a file's time, compared with other files' times alone")]
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn open(settings: &MirrorSettings, path: &Path) -> Result<Store, CheckoutError> {
    let objects = path.join("objects");
    make(path).map_err(broken)?;
    let largest = settings.max_bytes.saturating_mul(MIRROR_GROWTH).min(settings.disk.quota_bytes());
    let is_large = size(path) > largest;
    match Store::open(&objects) {
        Ok(store) if store.packs() < MAX_PACKS && !is_large && !store.is_damaged() => Ok(store),
        // Full, half made or damaged: all the same, it is only a copy.
        Ok(_) | Err(_) => {
            fs::remove_dir_all(path).map_err(broken)?;
            make(path).map_err(broken)?;
            Store::open(&objects).map_err(broken)
        }
    }
}

/// What git needs to see a repository in it.
pub(super) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path.join("objects/pack"))?;
    fs::create_dir_all(path.join(KEPT))?;
    for (name, text) in [
        ("HEAD", "ref: refs/heads/main\n"),
        ("config", "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"),
    ] {
        if !path.join(name).is_file() {
            fs::write(path.join(name), text)?;
        }
    }
    Ok(())
}

/// The name under which a commit is kept.
pub(super) fn kept(path: &Path, id: ObjectId) -> std::path::PathBuf {
    path.join(KEPT).join(id.to_hex().to_string())
}

/// The commits that were brought, the newest first.
fn kept_commits(path: &Path) -> Vec<ObjectId> {
    let Ok(names) = fs::read_dir(path.join(KEPT)) else { return Vec::new() };
    let mut found: Vec<_> = names
        .filter_map(Result::ok)
        .filter_map(|name| {
            let id = ObjectId::from_hex(name.file_name().as_encoded_bytes()).ok()?;
            Some((name.metadata().ok()?.modified().ok()?, id))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, id)| id).collect()
}

/// Asks the forge which commit a ref names now.
fn resolve(session: &mut GitSession<'_>, request: &Request) -> Result<ObjectId, CheckoutError> {
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
    let refs = session.refs(&names, &wanted)?;
    let named = |name: &str| {
        refs.iter().find_map(|found| match found {
            Ref::Peeled { full_ref_name, object, .. }
            | Ref::Direct { full_ref_name, object }
            | Ref::Symbolic { full_ref_name, object, .. } => (full_ref_name == name).then_some(*object),
            Ref::Unborn { .. } => None,
        })
    };
    match names.iter().find_map(|name| named(name)) {
        Some(id) => Ok(id),
        None if request.reference.is_none() => Err(without_default(session, &refs)),
        None => Err(no_such_ref()),
    }
}

/// HEAD leads nowhere: there is nothing at all, or not the branch that it names.
fn without_default(session: &mut GitSession<'_>, head: &[Ref]) -> CheckoutError {
    let named = head.iter().find_map(|found| match found {
        Ref::Unborn { target, .. } => Some(target.to_string()),
        Ref::Peeled { .. } | Ref::Direct { .. } | Ref::Symbolic { .. } => None,
    });
    match session.refs(&["refs/heads/".to_owned()], "HEAD") {
        Ok(found) if found.iter().any(|found| !matches!(found, Ref::Unborn { .. })) => {
            let named = named.unwrap_or_else(|| "HEAD".to_owned());
            CheckoutError::NoDefaultBranch(named.trim_start_matches("refs/heads/").to_owned())
        }
        Ok(_) => CheckoutError::Empty,
        Err(error) => error,
    }
}

/// Fetches a commit, and opens the mirror again, in which it is then.
fn fetch(
    settings: &MirrorSettings,
    path: &Path,
    store: Store,
    session: &mut GitSession<'_>,
    id: ObjectId,
    deadline: &Deadline,
) -> Result<Store, CheckoutError> {
    let mut haves = kept_commits(path);
    haves.retain(|have| store.has(have));
    haves.truncate(MAX_HAVES);
    let told_any = !haves.is_empty();
    match receive_into(settings, path, store, session, id, haves, deadline) {
        // Perhaps it is what we have that is damaged: once more, from nothing.
        Err(CheckoutError::Objects(ObjectError::Damaged(_) | ObjectError::Missing(_))) if told_any => {
            fs::remove_dir_all(path).map_err(broken)?;
            let store = open(settings, path)?;
            receive_into(settings, path, store, session, id, Vec::new(), deadline)
        }
        other => other,
    }
}

fn receive_into(
    settings: &MirrorSettings,
    path: &Path,
    store: Store,
    session: &mut GitSession<'_>,
    id: ObjectId,
    haves: Vec<ObjectId>,
    deadline: &Deadline,
) -> Result<Store, CheckoutError> {
    // Nobody else writes here: what is left of it is of a process that was killed.
    let _ = fs::remove_file(path.join("shallow.lock"));
    let limits = Limits { bytes: settings.max_bytes };
    session.fetch(id, haves, &path.join("shallow"), |pack| receive(pack, store, limits, deadline))?;
    let store = Store::open(&path.join("objects")).map_err(broken)?;
    if !store.has(&id) {
        return Err(CheckoutError::NoSuchCommit(id.to_hex().to_string()));
    }
    fs::write(kept(path, id), format!("{}\n", id.to_hex())).map_err(broken)?;
    Ok(store)
}

/// Bytes of all files below a folder.
pub(super) fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
