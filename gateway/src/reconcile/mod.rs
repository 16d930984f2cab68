//! Background.

pub(crate) mod background;
pub(crate) mod ref_poll;
pub(crate) mod status_check;
