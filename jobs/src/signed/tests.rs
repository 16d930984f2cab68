//! What is signed, byte for byte, and what no signature covers.

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
#[test_case("v", json!(2) => Err(SignatureError::Forged) ; "a version that it does not need")]
#[test_case("v", json!(3) => Err(SignatureError::Newer))]
fn a_signature_cannot_be_changed(field: &str, value: Value) -> Result<(), SignatureError> {
    let mut record = serde_json::to_value(signed(new_job())).unwrap();
    record["signature"][field] = value;
    check(&serde_json::from_value(record).unwrap())
}

/// With all that version 2 has.
fn of_version_2() -> JobSpec {
    JobSpec {
        input: Some(crate::Input::new("1 2\n", "text/plain").describe()),
        push_revision: Some(7),
        function: Some(FunctionCall { name: "pi".to_owned(), repeatable: false }),
        ..new_job()
    }
}

#[test]
fn version_2_is_signed_as_version_1_with_what_is_new_at_its_end() {
    let bytes = |spec: JobSpec| {
        let job = Job::new(spec);
        let bytes = Signed::of(&job.spec, job.spec.sha.as_ref(), Some(SecretEvent::Push)).bytes();
        String::from_utf8(bytes).unwrap()
    };
    let begins = bytes(new_job()).replace(r#"{"v":1"#, r#"{"v":2"#);
    let second = bytes(of_version_2());
    let added = second.strip_prefix(&begins[..begins.len() - 1]).unwrap();
    insta::assert_snapshot!(added, @r#","input":{"bytes":4,"sha256":"f251ddc12234e0da8d3b778bd0f7463fb477f16f47757f5617dc8b4ff4d4f14a","head_bytes":29,"head_sha256":"9eb3db78045fb9077d35c055b92803b570d0440fd53019c9d43ab25d3b5e70ca","content_type":"text/plain","method":null,"path":null},"push_revision":7,"function":{"name":"pi","repeatable":false}}"#);
    let job = signed(of_version_2());
    assert_eq!((job.signature.as_ref().unwrap().v, check(&job)), (2, Ok(())));
    assert_eq!(signed(new_job()).signature.unwrap().v, 1);
}

#[test_case("/input/bytes", json!(5))]
#[test_case("/input/sha256", json!("0".repeat(64)))]
#[test_case("/input/head_bytes", json!(1))]
#[test_case("/input/head_sha256", json!("0".repeat(64)))]
#[test_case("/input/content_type", json!("text/html"))]
#[test_case("/input/content_type", Value::Null ; "no type")]
#[test_case("/input/method", json!("GET"))]
#[test_case("/input/path", json!("/admin"))]
#[test_case("/input", Value::Null ; "no input")]
#[test_case("/push_revision", json!(8))]
#[test_case("/push_revision", Value::Null ; "no revision")]
#[test_case("/function/name", json!("tau"))]
#[test_case("/function/repeatable", json!(true))]
#[test_case("/function", Value::Null ; "no function")]
#[test_case("/signature/v", json!(1) ; "an older version")]
fn what_version_2_added_cannot_be_changed(field: &str, value: Value) {
    let mut record = serde_json::to_value(signed(of_version_2())).unwrap();
    for field in ["method", "path"] {
        record["input"][field] = Value::Null;
    }
    record["function"]["repeatable"] = false.into();
    assert_eq!(check(&serde_json::from_value(record.clone()).unwrap()), Ok(()));
    *record.pointer_mut(field).unwrap() = value;
    assert_eq!(check(&serde_json::from_value(record).unwrap()), Err(SignatureError::Forged));
}

#[test_case(|spec| spec.input = of_version_2().input ; "an input")]
#[test_case(|spec| spec.push_revision = Some(7) ; "a revision")]
#[test_case(|spec| spec.function = of_version_2().function ; "a function")]
fn what_version_2_added_cannot_be_put_into_a_job_of_version_1(add: fn(&mut JobSpec)) {
    let mut job = signed(new_job());
    add(&mut job.spec);
    assert_eq!(check(&job), Err(SignatureError::Forged));
    job.signature.as_mut().unwrap().v = 2;
    assert_eq!(check(&job), Err(SignatureError::Forged));
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
    let event = |trigger, rerun_event| NewJob { spec: JobSpec { trigger, ..new_job() }, rerun_event }.event();
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
