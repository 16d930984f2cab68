//! The App's owner, its installations, and their repositories.

use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{App, AppError, Permissions, read};
use crate::api::{below, credential};
use crate::incoming::{Account, InstalledRepository};
use crate::status::StatusError;

/// GitHub's largest page.
const PER_PAGE: usize = 100;
/// An installation on more than ten thousand repositories is read no further.
const MAX_PAGES: usize = 100;

/// Where the App is installed on one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstalledOn {
    /// The installation.
    pub installation: u64,
    /// GitHub's numeric id of the repository.
    pub repository_id: u64,
}

#[derive(Deserialize)]
struct AppAnswer {
    owner: Account,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

#[derive(Deserialize)]
struct Page {
    total_count: usize,
    repositories: Vec<RepositoryField>,
}

#[derive(Deserialize)]
struct RepositoryField {
    id: u64,
    full_name: String,
    private: Option<bool>,
}

impl App {
    /// The account that made the App.
    pub async fn owner(&self) -> Result<Account, AppError> {
        let answer = self.api.ask(Method::GET, below(&self.url, ["app"])?, &self.app_credential()?).await?;
        Ok(read::<AppAnswer>(&answer, "with the App")?.owner)
    }

    /// Where the App is installed on this repository; `None` when it is not.
    pub async fn installed_on(&self, owner: &str, name: &str) -> Result<Option<InstalledOn>, AppError> {
        let url = below(&self.url, ["repos", owner, name, "installation"])?;
        let answer = self.api.ask(Method::GET, url, &self.app_credential()?).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let installation = read::<Id>(&answer, "with the installation")?.id;
        let token = self.mint(installation, None, metadata()).await?.token;
        let token = credential(AUTHORIZATION, format!("Bearer {}", token.expose()))?;
        let answer = self.api.ask(Method::GET, below(&self.url, ["repos", owner, name])?, &token).await?;
        let repository_id = read::<Id>(&answer, "with the repository")?.id;
        Ok(Some(InstalledOn { installation, repository_id }))
    }

    /// Every repository of an installation. An event's list may be cut, or be that of another day.
    pub async fn repositories(&self, installation: u64) -> Result<Vec<InstalledRepository>, AppError> {
        let token = self.mint(installation, None, metadata()).await?.token;
        let token = credential(AUTHORIZATION, format!("Bearer {}", token.expose()))?;
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let answer = self.api.ask(Method::GET, self.page(page)?, &token).await?;
            let found: Page = read(&answer, "with the repositories")?;
            let is_last = found.repositories.len() < PER_PAGE;
            all.extend(found.repositories.into_iter().map(|field| InstalledRepository {
                forge_id: field.id,
                full_name: field.full_name,
                private: field.private.unwrap_or(true),
            }));
            if is_last || all.len() >= found.total_count {
                break;
            }
        }
        Ok(all)
    }

    fn page(&self, page: usize) -> Result<Url, StatusError> {
        let mut url = below(&self.url, ["installation", "repositories"])?;
        url.query_pairs_mut()
            .append_pair("per_page", &PER_PAGE.to_string())
            .append_pair("page", &page.to_string());
        Ok(url)
    }
}

/// Names and numbers of repositories, and nothing that is in them.
fn metadata() -> Permissions {
    Permissions { metadata: Some("read"), ..Permissions::default() }
}
