//! Values that must never be printed.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

/// A value that must never be printed. `Debug` hides it, `Display` and `Serialize` do not exist.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The value, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.trim().is_empty() { Err("must not be empty") } else { Ok(Self(text.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output_and_is_never_empty() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(" \n".parse::<Secret>().is_err());
    }
}
