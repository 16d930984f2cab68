//! Lists of a gateway, which come in pages: `next` of one is the `cursor` of the next.

use jobs::api::{Deliveries, Page};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::api::Api;

/// The most items of a page that a gateway is asked for.
const PAGE: usize = 100;

/// A page of a list.
pub(crate) trait Paged: DeserializeOwned {
    /// How many items it has.
    fn count(&self) -> usize;

    /// The cursor of the next page; absent on the last.
    fn next(&self) -> Option<&str>;
}

impl<T: DeserializeOwned> Paged for Page<T> {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

impl<T: DeserializeOwned> Paged for Deliveries<T> {
    fn count(&self) -> usize {
        self.items.len()
    }

    fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

/// A list to be fetched.
pub(crate) struct List<'a> {
    /// Below `/api/v1`.
    pub(crate) path: &'static str,
    /// Query parameters; those without a value are left out.
    pub(crate) filters: &'a [(&'static str, Option<&'a str>)],
    /// The most items to fetch.
    pub(crate) limit: usize,
    /// What is missing when the gateway answers 404.
    pub(crate) what: &'static str,
}

impl List<'_> {
    /// The pages that hold its first `limit` items.
    pub(crate) async fn fetch<P: Paged>(&self, api: &Api) -> anyhow::Result<Vec<P>> {
        let mut pages: Vec<P> = Vec::new();
        let mut left = self.limit;
        while left > 0 {
            let mut query = vec![("limit", left.min(PAGE).to_string())];
            let cursor = pages.last().and_then(P::next);
            let given = self.filters.iter().copied().chain([("cursor", cursor)]);
            query.extend(given.filter_map(|(name, value)| Some((name, value?.to_owned()))));
            let request = api.request(Method::GET, &[self.path]).query(&query);
            let page: P = api.json(request, self.what).await?;
            left = left.saturating_sub(page.count());
            let is_last = page.next().is_none();
            pages.push(page);
            if is_last {
                break;
            }
        }
        Ok(pages)
    }
}
