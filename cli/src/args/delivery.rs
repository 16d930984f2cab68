//! The command line of deliveries: list, replay, approve.

use clap::Args as ClapArgs;
use jobs::CommitSha;

use super::JsonArgs;

/// Fewer digits of an id would often mean several.
const MIN_DIGITS: usize = 4;

#[derive(Debug, ClapArgs)]
pub(crate) struct DeliveriesArgs {
    /// Only deliveries to this repository: its id or its function's name, from `gitfaas repo list`
    #[arg(long, value_name = "ID")]
    pub(crate) repo: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// The delivery's id, from `gitfaas deliveries`
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ApproveArgs {
    /// The delivery's id, from `gitfaas deliveries`, or its beginning; or that of one of its jobs, or the
    /// end of it
    #[arg(required_unless_present = "pull", value_parser = part_of_id)]
    pub(crate) id: Option<String>,
    /// The newest held delivery of this pull request
    #[arg(long, value_name = "N", conflicts_with = "id")]
    pub(crate) pull: Option<u64>,
    /// Only a delivery to this repository: its id or its function's name, from `gitfaas repo list`
    #[arg(long, value_name = "ID")]
    pub(crate) repo: Option<String>,
    /// The whole id of the commit that may run; if the delivery is of another one, nothing is approved
    #[arg(long, value_name = "SHA")]
    pub(crate) sha: Option<CommitSha>,
    /// Approve without asking
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// A part of an id that is long enough to mean one.
fn part_of_id(text: &str) -> Result<String, String> {
    let is_of_an_id = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    if text.len() >= MIN_DIGITS && text.bytes().all(is_of_an_id) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("must be {MIN_DIGITS} or more digits of an id"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use test_case::test_case;

    use super::super::Args;

    #[test_case(&["f382"] => true)]
    #[test_case(&["F382F1DE"] => true ; "in capitals")]
    #[test_case(&["f38"] => false ; "too short")]
    #[test_case(&["../jobs"] => false ; "no digits")]
    #[test_case(&["--pull", "12"] => true)]
    #[test_case(&["--pull", "12", "--repo", "0198c9f4"] => true)]
    #[test_case(&["f382", "--pull", "12"] => false ; "which of the two")]
    #[test_case(&[] => false ; "nothing")]
    #[test_case(&["f382", "--sha", "1f1ee58"] => false ; "a short commit")]
    fn names_a_delivery(given: &[&str]) -> bool {
        Args::try_parse_from([&["gitfaas", "approve"], given].concat()).is_ok()
    }
}
