//! What an operator gives to a user: found by address or id, changed by compare-and-set.

use super::{Accounts, User};
use crate::{
    Label, UserId,
    bucket::{BucketError, Entry},
};

impl User {
    /// Whether jobs and registrations of this user may have a label: `default`, or one that was given.
    pub fn was_given(&self, label: &Label) -> bool {
        *label == Label::default() || self.labels.contains(label)
    }
}

impl Accounts {
    /// The users whom a word names: the one with this id, or all with this address. An address is not
    /// identity, so there may be several.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn named(&self, word: &str) -> Result<Vec<Entry<User>>, BucketError> {
        if let Ok(id) = word.parse::<UserId>() {
            return Ok(self.users.get(&id.to_string()).await?.into_iter().collect());
        }
        let mut found = Vec::new();
        for key in self.users.keys().await? {
            let user = self.users.get(&key).await?;
            found.extend(user.filter(|user| user.value.email.eq_ignore_ascii_case(word)));
        }
        Ok(found)
    }

    /// Gives a user these labels and no others; `default` needs no giving. `None` when there is no such
    /// user.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn give_labels(
        &self,
        user: UserId,
        labels: &[Label],
    ) -> Result<Option<Entry<User>>, BucketError> {
        let mut given = Vec::new();
        for label in labels.iter().filter(|label| **label != Label::default()) {
            if !given.contains(label) {
                given.push(label.clone());
            }
        }
        let change = |entry: &Entry<User>| {
            (entry.value.labels != given).then(|| User { labels: given.clone(), ..entry.value.clone() })
        };
        self.users.change(&user.to_string(), change).await
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn user(fields: &str) -> User {
        let id = UserId::new();
        let text = format!(r#"{{"id": "{id}", "kind": "user", "email": "a@b"{fields}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test_case("", "default" => true ; "default is everybody's")]
    #[test_case("", "gpu" => false ; "nothing was given")]
    #[test_case(r#", "labels": ["gpu"]"#, "gpu" => true)]
    #[test_case(r#", "labels": ["gpu"]"#, "GPU" => false ; "another")]
    #[test_case(r#", "labels": ["gpu"]"#, "default" => true ; "default beside it")]
    #[test_case(r#", "admin": true"#, "gpu" => false ; "an admin's right is not a gift")]
    fn may_use(fields: &str, label: &str) -> bool {
        user(fields).was_given(&label.parse().unwrap())
    }

    #[test]
    fn who_was_given_nothing_is_stored_as_before() {
        let stored = serde_json::to_value(user(r#", "invented_later": 7"#)).unwrap();
        assert!(stored.get("labels").is_none());
        assert_eq!(stored["invented_later"], 7);
    }
}
