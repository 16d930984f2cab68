//! Finds a commit that an earlier fetch brought, without asking anybody for it.
//!
//! What is found was whole when it came. A mirror with a fault is left as it is: the fetch that follows mends it, and
//! holds the mirror's lock for that.

use std::{path::Path, sync::Arc};

use gix::ObjectId;

use super::{Checkout, Mirrors, Request, checkout_of, fetch, object_id};
use crate::objects::{Deadline, Store};

impl Mirrors {
    /// The commit of `request`, if it names one by id that is in its mirror. Waits for no fetch, and makes, fetches
    /// and mends nothing; `None` also where the mirror cannot be read.
    pub async fn find(&self, request: &Request) -> Option<Checkout> {
        let id = object_id(request.sha.as_ref()?);
        hooks::address::check_url(request.url.as_url(), &self.settings.allow).ok()?;
        let mirror = self.mirror(&request.cache_scope, &request.url);
        let deadline = Deadline::of(self.settings.timeout);
        let finding = tokio::task::spawn_blocking(move || {
            let found = find_in(&mirror.path, id, &deadline);
            // Never locked; but a mirror that somebody has is not evicted.
            drop(mirror);
            found
        });
        finding.await.ok()?
    }
}

fn find_in(path: &Path, id: ObjectId, deadline: &Deadline) -> Option<Checkout> {
    if !fetch::kept(path, id).is_file() {
        return None;
    }
    let store = Store::open(&path.join("objects")).ok().filter(|store| !store.is_damaged())?;
    let (commit, tree) = store.commit(id, deadline).ok()??;
    fetch::touch(path);
    Some(checkout_of(Arc::new(store), commit, tree))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use jobs::CloneUrl;
    use test_case::test_case;

    use super::*;
    use crate::{
        checkout::test_mirror::Filled,
        sandbox::CacheScope,
        source::{Files, Found},
    };

    #[tokio::test]
    async fn a_commit_that_was_brought_is_found_while_another_is_fetched() {
        let filled = Filled::new();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        std::fs::File::open(&filled.path).unwrap().set_modified(then).unwrap();
        let lock = filled.mirrors.mirror(&filled.request.cache_scope, &filled.request.url).lock;
        let _fetching = lock.lock().await;
        let found = filled.mirrors.find(&filled.request).await.unwrap();
        assert_eq!(Some(&found.sha), filled.request.sha.as_ref());
        let files = Files::Commit(found.files);
        assert!(matches!(files.read("main.py", 100).unwrap(), Found::File(bytes) if bytes == b"print(1)"));
        let used = std::fs::metadata(&filled.path).unwrap().modified().unwrap();
        assert!(used > then, "what is used last is evicted last");
    }

    fn another_commit(filled: &mut Filled) {
        filled.request.sha = "b".repeat(40).parse().ok();
    }

    fn no_commit(filled: &mut Filled) {
        filled.request.reference = filled.request.sha.take().map(|sha| sha.to_string());
    }

    fn another_scope(filled: &mut Filled) {
        filled.request.cache_scope = CacheScope::new("b", "b".to_owned());
    }

    fn a_forbidden_address(filled: &mut Filled) {
        filled.request.url = "http://127.0.0.2:9/a/pi.git".parse::<CloneUrl>().unwrap();
        let path = filled.mirrors.mirror(&filled.request.cache_scope, &filled.request.url).path;
        std::fs::rename(&filled.path, &path).unwrap();
        filled.path = path;
    }

    fn not_all_of_it_came(filled: &mut Filled) {
        std::fs::remove_dir_all(filled.path.join("refs/gitfaas")).unwrap();
    }

    fn damage_was_noted(filled: &mut Filled) {
        Store::open(&filled.path.join("objects")).unwrap().note_damage();
    }

    fn zeros(filled: &mut Filled) {
        let pack = filled.pack();
        let len = std::fs::metadata(&pack).unwrap().len();
        // As git left it, it is read-only.
        std::fs::remove_file(&pack).unwrap();
        std::fs::write(&pack, vec![0; usize::try_from(len).unwrap()]).unwrap();
    }

    fn no_pack(filled: &mut Filled) {
        std::fs::remove_file(filled.pack()).unwrap();
    }

    fn no_objects(filled: &mut Filled) {
        std::fs::remove_dir_all(filled.path.join("objects")).unwrap();
    }

    #[test_case(another_commit ; "another commit")]
    #[test_case(no_commit ; "a commit that is only asked for by a ref")]
    #[test_case(another_scope ; "the mirror of another owner")]
    #[test_case(a_forbidden_address ; "an address that is not allowed any more")]
    #[test_case(not_all_of_it_came ; "a commit that did not come whole")]
    #[test_case(damage_was_noted ; "a mirror whose damage was noted")]
    #[test_case(zeros ; "a pack of zeros")]
    #[test_case(no_pack ; "an index without its pack")]
    #[test_case(no_objects ; "a mirror without objects")]
    #[tokio::test]
    async fn nothing_is_found_and_nothing_is_changed(change: fn(&mut Filled)) {
        let mut filled = Filled::new();
        change(&mut filled);
        let before = filled.everything();
        assert!(filled.mirrors.find(&filled.request).await.is_none());
        assert_eq!(filled.everything(), before);
    }
}
