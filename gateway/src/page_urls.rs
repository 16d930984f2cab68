//! URLs of the gateway's HTML pages.

use std::sync::Arc;

use jobs::{JobId, PageAccess};
use url::Url;

use crate::crypto::keyring::Keyring;

/// Builds URLs of pages.
#[derive(Clone)]
pub(crate) struct PageUrls {
    pub(crate) public_url: Url,
    pub(crate) keys: Arc<Keyring>,
}

impl PageUrls {
    /// The page of a job.
    pub(crate) fn page(&self, job: JobId) -> Url {
        self.public_url.join(&format!("jobs/{job}")).expect("an id is a path")
    }

    /// The link of a commit status: with its key, unless the repository requires a sign-in.
    pub(crate) fn link(&self, job: JobId, links: PageAccess) -> String {
        let mut page = self.page(job);
        match links {
            PageAccess::Key => {
                page.query_pairs_mut().append_pair("key", &self.keys.link(job));
            }
            PageAccess::Login => {}
        }
        page.into()
    }

    /// The page of a delivery.
    pub(crate) fn delivery(&self, delivery: &str) -> Url {
        self.public_url.join(&format!("deliveries/{delivery}")).expect("a digest is a path")
    }
}
