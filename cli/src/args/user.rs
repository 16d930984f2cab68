//! The command line of users: labels and limits that an operator gives them.

use clap::{ArgGroup, Args as ClapArgs, Subcommand};
use jobs::{Label, units, usage::Resource};

use super::JsonArgs;

/// Labels of one user: what a list of workers has, with room to spare.
const MAX_LABELS: usize = 64;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Change what a user was given (operator: talks to NATS directly); acts with the next request
    #[command(after_help = "\
Labels choose workers, which may have other rules. Everybody has `default`; an admin has all. What is
given replaces what was given before. Registrations keep the label that they have.
A limit goes before the installation's; `gitfaas usage` names them all.

Examples:
  gitfaas user set you@example.com --labels gpu,inside
  gitfaas user set you@example.com --labels ''          takes all back but `default`
  gitfaas user set you@example.com --limit logs=200m --limit repos=500
  gitfaas user set you@example.com --limit logs=usual   the installation's again")]
    Set(UserSetArgs),
    /// Show a user and what was given (operator: talks to NATS directly)
    Show(UserShowArgs),
}

/// `gitfaas as …`, which is the same as without it.
#[derive(Debug, Subcommand)]
pub(crate) enum AsCommand {
    /// See `gitfaas user`
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct UserSetArgs {
    /// Whose: an address, or an id where several users have the address
    #[arg(value_name = "EMAIL|ID")]
    pub(crate) user: String,
    /// Labels besides `default` that jobs and registrations may have, separated by commas
    #[arg(long, value_name = "LABELS", value_parser = labels, group = "change")]
    pub(crate) labels: Option<Labels>,
    /// A limit of its own, such as `logs=200m` or `repos=500`; `usual` is the installation's again. May be
    /// given several times
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit, group = "change")]
    pub(crate) limits: Vec<Limit>,
}

/// A limit that is given to one owner, or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) of: Resource,
    /// `None`: the installation's.
    pub(crate) amount: Option<u64>,
}

fn limit(text: &str) -> Result<Limit, String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let of: Resource = name.parse()?;
    let amount = match (value, of.is_in_bytes()) {
        ("usual", _) => None,
        (value, true) => Some(units::bytes(value).map_err(|error| error.to_string())?),
        (value, false) => Some(value.parse().map_err(|_| "must be a number".to_owned())?),
    };
    Ok(Limit { of, amount })
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UserShowArgs {
    /// Who: an address, or an id where several users have the address
    #[arg(value_name = "EMAIL|ID")]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// A list of labels, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels(pub(crate) Vec<Label>);

fn labels(text: &str) -> Result<Labels, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let labels: Vec<Label> = words
        .map(|word| word.parse().map_err(|error| format!("{word:?}: {error}")))
        .collect::<Result<_, _>>()?;
    if labels.len() > MAX_LABELS {
        return Err(format!("more than {MAX_LABELS}"));
    }
    Ok(Labels(labels))
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("gpu,inside" => Ok(vec!["gpu", "inside"]) ; "two")]
    #[test_case(" gpu , " => Ok(vec!["gpu"]) ; "spaces")]
    #[test_case("" => Ok(vec![]) ; "none")]
    fn a_list(text: &str) -> Result<Vec<&str>, String> {
        Ok(labels(text)?
            .0
            .iter()
            .map(|label| &text[text.find(label.as_str()).unwrap()..][..label.as_str().len()])
            .collect())
    }

    #[test_case("logs=200m" => Ok((Resource::Logs, Some(200 << 20))))]
    #[test_case("repos=500" => Ok((Resource::Repos, Some(500))))]
    #[test_case("repos=usual" => Ok((Resource::Repos, None)))]
    #[test_case("repos=5k" => Err("must be a number".to_owned()) ; "no bytes")]
    #[test_case("jobs=5" => matches Err(_) ; "no such limit")]
    #[test_case("repos" => Err("must be NAME=VALUE".to_owned()) ; "no value")]
    fn a_limit(text: &str) -> Result<(Resource, Option<u64>), String> {
        limit(text).map(|limit| (limit.of, limit.amount))
    }

    #[test]
    fn what_is_no_label_is_named_and_too_many_are_too_many() {
        let wrong = labels("gpu,a b").unwrap_err();
        assert!(wrong.starts_with("\"a b\": must be 1 to 48 letters"), "{wrong}");
        let many: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n}")).collect();
        assert_eq!(labels(&many.join(",")).unwrap_err(), "more than 64");
    }
}
