//! `gitfaas repo`: repositories whose pushes are run. One file per command, and what they share.

mod add;
mod list;
mod remove;
mod set;
mod settings;
mod show;
mod signing;
mod view;
mod webhook;

pub(super) use add::add;
pub(super) use list::list;
pub(super) use remove::remove;
pub(super) use set::set;
pub(super) use show::show;
