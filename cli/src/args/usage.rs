//! The command line of usage.

use clap::Args as ClapArgs;

use super::JsonArgs;

#[derive(Debug, ClapArgs)]
pub(crate) struct UsageArgs {
    /// Of this owner instead of the caller: an address or an id (admins)
    #[arg(long, value_name = "EMAIL|ID")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
