//! What a gateway signs of a job, so that whoever may write records decides nothing by them.
//!
//! Workers write to records, and NATS cannot tell which fields. So a gateway signs all that a new job
//! is made of ([`JobSpec`]) and the event by which its secrets are chosen. What comes later (state,
//! attempt, the commit of a branch, timings, result) is not signed and decides nothing.
//!
//! The code is HMAC-SHA256 over the JSON of `Signed`: fixed fields in a fixed order, with a version.
//! A field that decides something and is added later makes a new version; a signature of the version
//! before is good then only where that field is absent. Nothing of a version is ever changed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    CommitSha, Filter, Job, JobId, JobSpec, Label, NewJob, RepoId, Stored, Trigger, UserId,
    bucket::Entry,
    ledger::{Ledger, LedgerError},
};

/// The newest version of what is signed that this program knows.
const VERSION: u32 = 1;
/// Length of a key: that of SHA-256's output, more adds nothing (RFC 2104).
pub const KEY_BYTES: usize = 32;
/// Bytes of the digest that names a key: enough to tell two of them apart.
const KEY_ID_BYTES: usize = 8;

/// What secrets may be given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SecretEvent {
    /// Pushes to branches.
    Push,
    /// Pushes of tags.
    Tag,
    /// Pull requests from the repository itself; those from forks get none in any case.
    PullRequest,
    /// Calls over REST.
    Call,
}

impl SecretEvent {
    /// The event of a trigger; a rerun has that of what it repeats.
    pub fn of(trigger: Trigger) -> Option<Self> {
        match trigger {
            Trigger::Call => Some(Self::Call),
            Trigger::Push => Some(Self::Push),
            Trigger::Tag => Some(Self::Tag),
            Trigger::PullRequest => Some(Self::PullRequest),
            Trigger::Rerun => None,
        }
    }
}

/// A gateway's signature, as it lies in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The version of what is signed.
    pub v: u32,
    /// The id of the key.
    pub key: String,
    /// The event by which secrets are chosen; absent means that there are none to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<SecretEvent>,
    /// The commit, where it was given; the record's own may be what a worker found later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<CommitSha>,
    /// The code, in URL-safe base64.
    pub mac: String,
}

/// Why a record is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureError {
    /// Nobody signed it.
    Unsigned,
    /// It does not say what was signed, or a key signed it that is none of ours.
    Forged,
    /// A newer gateway signed it, in a way that this program does not know.
    Newer,
}

impl SignatureError {
    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::Newer => "newer",
        }
    }
}

/// Version 1 of what is signed. The order of the fields is part of it.
#[derive(Serialize)]
struct Signed<'a> {
    v: u32,
    id: JobId,
    owner: UserId,
    trigger: Trigger,
    label: &'a Label,
    repo: Option<RepoId>,
    url: &'a str,
    reference: Option<&'a str>,
    sha: Option<&'a CommitSha>,
    before: Option<&'a CommitSha>,
    paths: &'a Filter,
    untrusted: bool,
    name: Option<&'a str>,
    args: Option<&'a [String]>,
    context: Option<&'a str>,
    also_contexts: &'a [String],
    same_as: Option<JobId>,
    rerun_of: Option<JobId>,
    event: Option<SecretEvent>,
}

impl<'a> Signed<'a> {
    /// Every field of the spec is taken apart, so that one that is added cannot be forgotten here.
    fn of(spec: &'a JobSpec, given: Option<&'a CommitSha>, event: Option<SecretEvent>) -> Self {
        let JobSpec {
            id,
            owner,
            // Follows from the trigger.
            class: _,
            label,
            trigger,
            repo,
            url,
            reference,
            sha: _,
            before,
            paths,
            untrusted,
            name,
            args,
            context,
            also_contexts,
            same_as,
            rerun_of,
        } = spec;
        Self {
            v: VERSION,
            id: *id,
            owner: *owner,
            trigger: *trigger,
            label,
            repo: *repo,
            url: url.as_str(),
            reference: reference.as_ref().map(Stored::as_str),
            sha: given,
            before: before.as_ref(),
            paths,
            untrusted: *untrusted,
            name: name.as_deref(),
            args: args.as_deref(),
            context: context.as_deref(),
            also_contexts,
            same_as: *same_as,
            rerun_of: *rerun_of,
            event,
        }
    }

    /// JSON has one reading: texts are quoted and escaped, so no two jobs have the same bytes.
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("ids, words and texts are JSON")
    }
}

/// The key that records are signed with. `Debug` shows its id alone.
#[derive(Clone)]
pub struct RecordKey {
    id: String,
    key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecordKey({})", self.id)
    }
}

impl RecordKey {
    /// The key with these bytes.
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        let id = mac(&key, b"gitfaas records id").finalize().into_bytes();
        Self { id: hex::encode(&id[..KEY_ID_BYTES]), key }
    }

    /// What names the key in signatures.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a job as it stands, with its commit, where it has one.
    pub fn sign(&self, job: &Job, event: Option<SecretEvent>) -> Signature {
        let bytes = Signed::of(&job.spec, job.spec.sha.as_ref(), event).bytes();
        let code = mac(&self.key, &bytes).finalize().into_bytes();
        let mac = BASE64_URL_SAFE_NO_PAD.encode(code);
        Signature { v: VERSION, key: self.id.clone(), event, sha: job.spec.sha.clone(), mac }
    }

    /// The signature of a job that says what was signed, compared in constant time. The record's commit
    /// is not looked at: see [`Signature::sha`].
    ///
    /// # Errors
    /// It is not believed.
    pub fn check<'a>(&self, job: &'a Job) -> Result<&'a Signature, SignatureError> {
        let signature = job.signature.as_ref().ok_or(SignatureError::Unsigned)?;
        if signature.v > VERSION {
            return Err(SignatureError::Newer);
        }
        if signature.v != VERSION || signature.key != self.id {
            return Err(SignatureError::Forged);
        }
        let bytes = Signed::of(&job.spec, signature.sha.as_ref(), signature.event).bytes();
        let code = BASE64_URL_SAFE_NO_PAD.decode(&signature.mac).map_err(|_| SignatureError::Forged)?;
        mac(&self.key, &bytes).verify_slice(&code).map_err(|_| SignatureError::Forged)?;
        Ok(signature)
    }
}

fn mac(key: &[u8; KEY_BYTES], bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    mac
}

impl Ledger {
    /// The same ledger, which signs every record of a new job.
    #[must_use]
    pub fn signing(mut self, key: RecordKey) -> Self {
        self.signer = Some(key);
        self
    }

    /// The first record of a job, signed where this ledger signs.
    pub(crate) fn first(&self, new: impl Into<NewJob>) -> Job {
        let new = new.into();
        let event = new.event();
        let job = Job::new(new.spec);
        let signature = self.signer.as_ref().map(|key| key.sign(&job, event));
        Job { signature, ..job }
    }

    /// Signs a record that is not over and that nobody signed: one that was made before records were
    /// signed. Returns it as it is then, signed or over; `None` when there is none.
    ///
    /// # Errors
    /// NATS is away.
    pub async fn sign_open(
        &self,
        id: JobId,
        event: Option<SecretEvent>,
    ) -> Result<Option<Entry<Job>>, LedgerError> {
        let signed = |entry: &Entry<Job>| {
            let key = self.signer.as_ref()?;
            let job = &entry.value;
            let is_to_sign = job.signature.is_none() && !job.status.state.is_final();
            is_to_sign.then(|| {
                entry.with_server_times(Job { signature: Some(key.sign(job, event)), ..job.clone() })
            })
        };
        Ok(self.jobs.change(&id.to_string(), signed).await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use test_case::test_case;

    use super::*;
    use crate::{Outcome, record::QueueClass};

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn new_job() -> JobSpec {
        JobSpec {
            id: ID.parse().unwrap(),
            trigger: Trigger::Push,
            repo: Some("01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap()),
            reference: Some("refs/heads/main".into()),
            sha: Some("a".repeat(40).parse().unwrap()),
            context: Some("gitfaas/push".to_owned()),
            args: Some(vec!["a\"b".to_owned(), String::new()]),
            ..JobSpec::call(
                "01890a5d-ac96-774b-bcce-b302099a8059".parse().unwrap(),
                "https://example.com/o/n.git",
            )
        }
    }

    fn signed(spec: JobSpec) -> Job {
        let event = NewJob::from(spec.clone()).event();
        let job = Job::new(spec);
        Job { signature: Some(RecordKey::new([7; KEY_BYTES]).sign(&job, event)), ..job }
    }

    fn check(job: &Job) -> Result<(), SignatureError> {
        RecordKey::new([7; KEY_BYTES]).check(job).map(|_| ())
    }

    #[test]
    fn what_is_signed_has_one_form() {
        let job = Job::new(new_job());
        let bytes = Signed::of(&job.spec, job.spec.sha.as_ref(), Some(SecretEvent::Push)).bytes();
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"v":1,"id":"01890a5d-ac96-774b-bcce-b302099a8057","owner":"01890a5d-ac96-774b-bcce-b302099a8059","trigger":"push","label":"default","repo":"01890a5d-ac96-774b-bcce-b302099a8058","url":"https://example.com/o/n.git","reference":"refs/heads/main","sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","before":null,"paths":[],"untrusted":false,"name":null,"args":["a\"b",""],"context":"gitfaas/push","also_contexts":[],"same_as":null,"rerun_of":null,"event":"push"}"#);
    }

    #[test]
    fn a_signature_on_the_wire() {
        let signature = serde_json::to_string(&signed(new_job()).signature).unwrap();
        insta::assert_snapshot!(signature, @r#"{"v":1,"key":"57542fa828dac256","event":"push","sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","mac":"v6rvaHckn50vX-DYIBoOqXXba8N-9Apsq1G3Wo5jJTU"}"#);
    }

    #[test_case("id", json!("01890a5d-ac96-774b-bcce-b302099a8050"))]
    #[test_case("owner", json!("01890a5d-ac96-774b-bcce-b302099a8050"))]
    #[test_case("trigger", json!("call"))]
    #[test_case("label", json!("large"))]
    #[test_case("repo", json!("01890a5d-ac96-774b-bcce-b302099a8050"))]
    #[test_case("repo", Value::Null ; "no repo")]
    #[test_case("url", json!("https://example.com/mine.git"))]
    #[test_case("ref", json!("refs/heads/other"))]
    #[test_case("before", json!("b".repeat(40)))]
    #[test_case("paths", json!(["src/**"]))]
    #[test_case("untrusted", json!(true))]
    #[test_case("name", json!("n"))]
    #[test_case("args", json!(["a\"b", "", ""]))]
    #[test_case("args", json!(["a\"b\",\""]) ; "args that only look the same")]
    #[test_case("context", json!("gitfaas/tag"))]
    #[test_case("also_contexts", json!(["gitfaas/tag"]))]
    #[test_case("same_as", json!("01890a5d-ac96-774b-bcce-b302099a8050"))]
    #[test_case("rerun_of", json!("01890a5d-ac96-774b-bcce-b302099a8050"))]
    fn a_field_that_decides_cannot_be_changed(field: &str, value: Value) {
        let mut record = serde_json::to_value(signed(new_job())).unwrap();
        record[field] = value;
        assert_eq!(check(&serde_json::from_value(record).unwrap()), Err(SignatureError::Forged));
    }

    #[test_case("event", json!("pull_request") => Err(SignatureError::Forged))]
    #[test_case("event", Value::Null => Err(SignatureError::Forged) ; "no event")]
    #[test_case("sha", json!("b".repeat(40)) => Err(SignatureError::Forged))]
    #[test_case("sha", Value::Null => Err(SignatureError::Forged) ; "no commit given")]
    #[test_case("key", json!("0000000000000000") => Err(SignatureError::Forged))]
    #[test_case("mac", json!("") => Err(SignatureError::Forged) ; "no code")]
    #[test_case("mac", json!("AAAA") => Err(SignatureError::Forged) ; "a short code")]
    #[test_case("mac", json!("?") => Err(SignatureError::Forged) ; "no base64")]
    #[test_case("v", json!(0) => Err(SignatureError::Forged) ; "a version that never was")]
    #[test_case("v", json!(2) => Err(SignatureError::Newer))]
    fn a_signature_cannot_be_changed(field: &str, value: Value) -> Result<(), SignatureError> {
        let mut record = serde_json::to_value(signed(new_job())).unwrap();
        record["signature"][field] = value;
        check(&serde_json::from_value(record).unwrap())
    }

    #[test]
    fn what_comes_later_leaves_the_signature_good() {
        let job = Job::new(JobSpec { sha: None, ..new_job() });
        let signature = Some(RecordKey::new([7; KEY_BYTES]).sign(&job, Some(SecretEvent::Push)));
        let worker = "w1".parse().unwrap();
        let mut other_class = Job { signature, ..job };
        other_class.spec.class = QueueClass::Call;
        let claimed = other_class.claimed(&worker).unwrap();
        let learned = claimed.learned(Some("c".repeat(40).parse().unwrap()), Some("shell"));
        assert_eq!(check(&learned.requeued()), Ok(()));
        assert_eq!(check(&learned.deferred()), Ok(()));
        assert_eq!(check(&learned.ended(&Outcome::Finished)), Ok(()));
    }

    #[test]
    fn another_key_and_no_signature_prove_nothing() {
        let job = signed(new_job());
        assert_eq!(RecordKey::new([8; KEY_BYTES]).check(&job).map(|_| ()), Err(SignatureError::Forged));
        assert_eq!(check(&Job { signature: None, ..job }), Err(SignatureError::Unsigned));
    }

    #[test]
    fn a_rerun_has_the_event_of_what_it_repeats_and_nothing_else_has() {
        let event =
            |trigger, rerun_event| NewJob { spec: JobSpec { trigger, ..new_job() }, rerun_event }.event();
        assert_eq!(event(Trigger::Rerun, Some(SecretEvent::Tag)), Some(SecretEvent::Tag));
        assert_eq!(event(Trigger::Rerun, None), None);
        assert_eq!(event(Trigger::PullRequest, Some(SecretEvent::Tag)), Some(SecretEvent::PullRequest));
    }

    #[test]
    fn an_older_worker_writes_the_signature_back() {
        // To it the signature is a field that it does not know.
        #[derive(Serialize, Deserialize)]
        struct Older {
            state: crate::State,
            #[serde(flatten)]
            other: serde_json::Map<String, Value>,
        }
        let record = serde_json::to_string(&signed(new_job())).unwrap();
        let older: Older = serde_json::from_str(&record).unwrap();
        let back = serde_json::to_string(&Older { state: crate::State::Working, ..older }).unwrap();
        let back: Job = serde_json::from_str(&back).unwrap();
        assert_eq!((back.status.state, check(&back)), (crate::State::Working, Ok(())));
    }
}
