//! Signing secrets in a request: what is there stays unless it is taken away.

use anyhow::{Context as _, bail, ensure};
use jobs::{api::SigningSecret, call_settings::MAX_SIGNING_SECRETS};

use crate::{args::CallSettingsArgs, terminal};

/// The secret that was given, from a file or from standard input.
pub(super) fn given(args: &CallSettingsArgs) -> anyhow::Result<Option<String>> {
    let secret = if args.signing_secret_stdin {
        std::io::read_to_string(std::io::stdin())
            .context("cannot read the signing secret from standard input")?
    } else if let Some(path) = &args.signing_secret_file {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        return Ok(None);
    };
    let secret = secret.trim();
    ensure!(!secret.is_empty(), "the signing secret is empty");
    Ok(Some(secret.to_owned()))
}

/// The list after a change: ids of those that stay, then the new one.
pub(super) fn changed(
    there: &[SigningSecret],
    new: Option<String>,
    removed: &[String],
) -> anyhow::Result<Vec<String>> {
    if let Some(unknown) = removed.iter().find(|id| there.iter().all(|secret| secret.id != **id)) {
        bail!("there is no signing secret {unknown}; `gitfaas repo show` lists them");
    }
    let kept: Vec<String> =
        there.iter().map(|secret| secret.id.clone()).filter(|id| !removed.contains(id)).collect();
    if new.is_some() && kept.len() >= MAX_SIGNING_SECRETS {
        let ids: Vec<_> = kept.iter().map(|id| terminal::safe(id)).collect();
        bail!(
            "there are {MAX_SIGNING_SECRETS} signing secrets already, {}; take the old one away with --remove-signing-secret",
            ids.join(" and ")
        );
    }
    Ok(kept.into_iter().chain(new).collect())
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(&[], Some("new"), &[] => Ok(vec!["new".to_owned()]) ; "the first")]
    #[test_case(&["a1"], Some("new"), &[] => Ok(vec!["a1".to_owned(), "new".to_owned()]) ; "the second beside it")]
    #[test_case(&["a1", "b2"], None, &["a1"] => Ok(vec!["b2".to_owned()]) ; "the first goes")]
    #[test_case(&["a1", "b2"], Some("new"), &["a1"] => Ok(vec!["b2".to_owned(), "new".to_owned()]) ; "one for another")]
    #[test_case(&["a1"], None, &["a1"] => Ok(vec![]) ; "the last goes")]
    #[test_case(&["a1", "b2"], Some("new"), &[] => Err("there are 2 signing secrets already, a1 and b2; take the old one away with --remove-signing-secret".to_owned()) ; "a third")]
    #[test_case(&["a1"], None, &["c3"] => Err("there is no signing secret c3; `gitfaas repo show` lists them".to_owned()) ; "an unknown one")]
    fn what_is_sent(there: &[&str], new: Option<&str>, removed: &[&str]) -> Result<Vec<String>, String> {
        let secret =
            |id: &&str| SigningSecret { id: (*id).to_owned(), added_at: jiff::Timestamp::UNIX_EPOCH };
        let there: Vec<SigningSecret> = there.iter().map(secret).collect();
        let removed: Vec<String> = removed.iter().map(|id| (*id).to_owned()).collect();
        changed(&there, new.map(str::to_owned), &removed).map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_comes_from_its_file_without_its_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "whsec_abc\n").unwrap();
        let from = |path| {
            given(&CallSettingsArgs { signing_secret_file: Some(path), ..CallSettingsArgs::default() })
        };
        assert_eq!(from(path.clone()).unwrap().as_deref(), Some("whsec_abc"));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(from(path).unwrap_err().to_string(), "the signing secret is empty");
        assert!(from(dir.path().join("nowhere")).is_err());
        assert_eq!(given(&CallSettingsArgs::default()).unwrap(), None);
    }
}
