//! `gitfaas repo remove`: jobs that are not over are cancelled first, and the forge is told.

use std::process::ExitCode;

use jobs::api::RemovedRepo;
use reqwest::Method;

use super::webhook;
use crate::{api::Api, exit::CommandResult};

pub(crate) async fn remove(id: &str) -> CommandResult {
    let api = Api::from_env()?;
    let answer: Option<RemovedRepo> =
        api.json(api.request(Method::DELETE, &["repos", id]), "repository").await?;
    eprintln!("{}", sentence(&answer.unwrap_or_default()));
    Ok(ExitCode::SUCCESS)
}

/// What became of it; an answer without a body says that it is gone.
fn sentence(answer: &RemovedRepo) -> String {
    let webhook = webhook::left(answer.webhook.as_ref());
    if !answer.removing {
        return format!("removed; its jobs stay, and {webhook}");
    }
    let cancelled = match answer.cancelled.unwrap_or_default() {
        1 => "1 job is cancelled".to_owned(),
        jobs => format!("{jobs} jobs are cancelled"),
    };
    format!("removing: {cancelled}; it goes by itself once the forge was told, and {webhook}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;

    #[test_case(json!(null) => "removed; its jobs stay, and its webhook can be deleted at the forge" ; "at once")]
    #[test_case(json!({"webhook": "removed"}) => "removed; its jobs stay, and its webhook is gone from the forge")]
    #[test_case(json!({"removing": true, "cancelled": 3, "webhook": "removed"})
        => "removing: 3 jobs are cancelled; it goes by itself once the forge was told, and its webhook is gone from the forge")]
    #[test_case(json!({"removing": true, "cancelled": 1, "webhook": {"error": "403"}})
        => "removing: 1 job is cancelled; it goes by itself once the forge was told, and its webhook is still at the forge: 403")]
    fn what_became_of_it(answer: Value) -> String {
        let answer: Option<RemovedRepo> = serde_json::from_value(answer).unwrap();
        sentence(&answer.unwrap_or_default())
    }
}
