//! Which addresses may be connected to, and how every connection is restricted to them.
//!
//! Owns the rule, the exceptions an operator makes to it ([`Allow`]), what is refused besides ([`Deny`],
//! [`OwnAddresses`]), the resolver that pins a name to the addresses that were checked, and a ready HTTP
//! client. Does not own any connection.
//!
//! Three rules hold in the whole service because they hold here:
//! * an address is checked after resolving, and the address that was checked is the one connected to,
//!   so a name that resolves differently the next time (rebinding) gains nothing;
//! * a literal address in a URL, which no resolver ever sees, is checked as well, on every redirect;
//! * an odd way of writing an address (`0x7f.1`, `2130706433`) is a name like any other: what the
//!   system resolves it to is checked.

mod allow;
mod cleartext;
mod client;
mod deny;
mod embedded_ipv4;
mod own_addresses;
mod public;
mod resolve;

pub use allow::{Allow, BadAllow};
pub use cleartext::may_send_credential;
pub use client::{ClientError, PublicOnly, Timeouts, builder, client, literal_guard, redirects};
pub use deny::Deny;
pub use own_addresses::OwnAddresses;
pub use public::is_public;
pub use resolve::{AddressError, check_host, check_url, permits, resolve};
