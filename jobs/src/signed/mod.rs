//! What a gateway signs of a job, so that whoever may write records decides nothing by them.
//!
//! Workers write to records, and NATS cannot tell which fields. So a gateway signs all that a new job
//! is made of ([`JobSpec`]) and the event by which its secrets are chosen. What comes later (state,
//! attempt, the commit of a branch, timings, result) is not signed and decides nothing.
//!
//! The code is HMAC-SHA256 over the JSON of `Signed`: fixed fields in a fixed order, with a version.
//! A field that decides something and is added later makes a new version; a signature of the version
//! before is good then only where that field is absent. Nothing of a version is ever changed. A job is
//! signed in the version of its spec, the oldest that holds all of it.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    CommitSha, Filter, FunctionCall, Job, JobId, JobInput, JobSpec, Label, NewJob, RepoId, Stored, Trigger,
    UserId,
    bucket::Entry,
    ledger::{Ledger, LedgerError},
    record,
};

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
    pub v: u64,
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

/// What is signed. The order of the fields is part of it. Version 1 ends with the event; version 2 goes on with
/// what a job of version 1 does not have.
#[derive(Serialize)]
struct Signed<'a> {
    v: u64,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<SignedInput<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<SignedFunction<'a>>,
}

/// An input as version 2 signs it.
#[derive(Serialize)]
struct SignedInput<'a> {
    bytes: u64,
    sha256: &'a str,
    head_bytes: u64,
    head_sha256: &'a str,
    content_type: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
}

impl<'a> SignedInput<'a> {
    fn of(input: &'a JobInput) -> Self {
        let JobInput { bytes, sha256, head_bytes, head_sha256, content_type, method, path } = input;
        Self {
            bytes: *bytes,
            sha256,
            head_bytes: *head_bytes,
            head_sha256,
            content_type: content_type.as_deref(),
            method: method.as_deref(),
            path: path.as_deref(),
        }
    }
}

/// A call of a function as version 2 signs it.
#[derive(Serialize)]
struct SignedFunction<'a> {
    name: &'a str,
    repeatable: bool,
}

impl<'a> SignedFunction<'a> {
    fn of(call: &'a FunctionCall) -> Self {
        let FunctionCall { name, repeatable } = call;
        Self { name, repeatable: *repeatable }
    }
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
            input,
            context,
            also_contexts,
            same_as,
            rerun_of,
            push_revision,
            function,
        } = spec;
        Self {
            v: spec.version(),
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
            input: input.as_ref().map(SignedInput::of),
            push_revision: *push_revision,
            function: function.as_ref().map(SignedFunction::of),
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
        Signature { v: job.spec.version(), key: self.id.clone(), event, sha: job.spec.sha.clone(), mac }
    }

    /// The signature of a job that says what was signed, compared in constant time. The record's commit
    /// is not looked at: see [`Signature::sha`].
    ///
    /// # Errors
    /// It is not believed.
    pub fn check<'a>(&self, job: &'a Job) -> Result<&'a Signature, SignatureError> {
        let signature = job.signature.as_ref().ok_or(SignatureError::Unsigned)?;
        if signature.v > record::NEWEST_VERSION {
            return Err(SignatureError::Newer);
        }
        // What was put into a job of version 1, or taken out of one of version 2, was not signed.
        if signature.v != job.spec.version() || signature.key != self.id {
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
mod tests;
