//! `gitfaas approve`: lets a delivery that waits do what it says.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Map, Value};

use super::deliveries;
use crate::{api::Api, args::ApproveArgs, exit::Done};

pub(super) async fn approve(args: ApproveArgs) -> Done {
    let api = Api::from_env()?;
    let sha = args.sha.as_ref().map(|sha| ("sha".to_owned(), Value::from(sha.as_str())));
    let body: Map<String, Value> = sha.into_iter().collect();
    let request = api.request(Method::POST, &["deliveries", &args.id, "approve"]).json(&body);
    deliveries::show(&api.json(request, "delivery").await?, args.json.json)?;
    Ok(ExitCode::SUCCESS)
}
