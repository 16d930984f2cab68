//! Deliveries as they lie in the bucket, of this and other programs.

use super::*;

const JOB: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const USER: &str = "01890a5d-ac96-774b-bcce-b302099a8058";
const SHA: &str = "1f1ee58e3067678d3752dd5f6f3abb936325fbb8";

/// Deliveries as gateways stored them before their fields had types, byte for byte.
const PUSH: &str = r#"{"delivery_id":"72d3162e-cc78-11e3-81ab-4c9367dc0958","event":"push","hook":"01890a5d-ac96-774b-bcce-b302099a8059","incoming":{"kind":"push","what":{"after":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","before":null,"forced":false,"head_message":"one","installation":12,"made_up":true,"pusher":"ada","ref":"refs/heads/main","repository":{"clone_url":"https://github.com/acme/pi.git","default_branch":"main","forge_id":7,"full_name":"acme/pi","html_url":null,"private":true},"skip_ci":false}},"head_revision":7,"jobs":["01890a5d-ac96-774b-bcce-b302099a8057"],"nonce":"0123456789abcdef","owner":"01890a5d-ac96-774b-bcce-b302099a8058","reason":"the owner's queue is full","received_at":"2026-01-31T12:00:00.123456789Z","replay_of":"a-key","repo":"01890a5d-ac96-774b-bcce-b302099a8059","rerun_of":"01890a5d-ac96-774b-bcce-b302099a8057","v":1,"verdict":"refused"}"#;
const HELD: &str = r#"{"delivery_id":"1","event":"pull_request","hook":"github","incoming":{"kind":"pull_request","what":{"action":"opened","base_branch":"main","base_sha":null,"draft":false,"from_fork":true,"head_branch":"topic","head_repository":"eve/pi","head_sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","installation":null,"number":5,"repository":{"clone_url":"https://github.com/acme/pi.git","default_branch":null,"forge_id":7,"full_name":"acme/pi","html_url":null,"private":false},"sender":"eve"}},"jobs":[],"nonce":"0123456789abcdef","owner":"01890a5d-ac96-774b-bcce-b302099a8058","reason":"a pull request from a fork waits for an owner's approval","received_at":"2026-01-31T12:00:00Z","repo":"01890a5d-ac96-774b-bcce-b302099a8059","v":1,"verdict":"held"}"#;
const APPROVED: &str = r#"{"approved":{"by":"01890a5d-ac96-774b-bcce-b302099a8058","sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8"},"delivery_id":"1","event":"pull_request","hook":"github","incoming":{"kind":"pull_request","what":{"action":"opened","base_branch":"main","base_sha":null,"draft":false,"from_fork":true,"head_branch":"topic","head_repository":"eve/pi","head_sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8","installation":null,"number":5,"repository":{"clone_url":"https://github.com/acme/pi.git","default_branch":null,"forge_id":7,"full_name":"acme/pi","html_url":null,"private":false},"sender":"eve"}},"jobs":["01890a5d-ac96-774b-bcce-b302099a8057"],"nonce":"0123456789abcdef","owner":"01890a5d-ac96-774b-bcce-b302099a8058","received_at":"2026-01-31T12:00:00Z","repo":"01890a5d-ac96-774b-bcce-b302099a8059","v":1,"verdict":"accepted"}"#;
const RERUN: &str = r#"{"delivery_id":"2","event":"check_run","hook":"github","incoming":{"kind":"rerequested","what":{"app_id":3,"check_run":4,"external_id":"01890a5d-ac96-774b-bcce-b302099a8057","installation":12,"name":"gitfaas/push","repository":{"clone_url":"https://github.com/acme/pi.git","default_branch":null,"forge_id":7,"full_name":"acme/pi","html_url":null,"private":false},"sender":"ada","sha":"1f1ee58e3067678d3752dd5f6f3abb936325fbb8"}},"jobs":["01890a5d-ac96-774b-bcce-b302099a8060"],"nonce":"0123456789abcdef","owner":"01890a5d-ac96-774b-bcce-b302099a8058","repo":"01890a5d-ac96-774b-bcce-b302099a8059","reruns":["01890a5d-ac96-774b-bcce-b302099a8057"],"v":1}"#;
const INSTALLATION: &str = r#"{"approved_by":"01890a5d-ac96-774b-bcce-b302099a8058","delivery_id":"3","event":"installation","hook":"github","incoming":{"kind":"installation","what":{"account":{"id":9,"login":"acme"},"action":"created","app_id":3,"id":12,"repositories":[{"forge_id":7,"full_name":"acme/pi","private":true}],"sender":"ada"}},"jobs":[],"nonce":"0123456789abcdef","reason":"registered 1 repository","received_at":"2026-01-31T12:00:00Z","v":1,"verdict":"accepted"}"#;
const IDEMPOTENCY_KEY: &str = r#"{"delivery_id":"","event":"call","hook":"idempotency.01890a5d-ac96-774b-bcce-b302099a8058","jobs":["01890a5d-ac96-774b-bcce-b302099a8057"],"nonce":"0123456789abcdef","owner":"01890a5d-ac96-774b-bcce-b302099a8058","reason":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","v":1}"#;
const DUPLICATE: &str = r#"{"delivery_id":"4","event":"push","hook":"github","jobs":["01890a5d-ac96-774b-bcce-b302099a8057"],"nonce":"0123456789abcdef","reason":"duplicate of 01890a5d-ac96-774b-bcce-b302099a8057","v":1,"verdict":"duplicate"}"#;
/// What no program of today understands: of an older one, or of a newer.
const STRANGE: &str = r#"{"approved":null,"approved_by":{"team":3},"delivery_id":"5","event":"release","head_revision":"seven","hook":"github","incoming":{"kind":"release","what":[1]},"invented_later":{"b":[1,2],"a":null},"jobs":[],"nonce":"0123456789abcdef","reason":"a reason of a newer program","rerun_of":5,"reruns":{"x":1},"v":1,"verdict":"ignored"}"#;

fn read(bytes: &str) -> Delivery {
    serde_json::from_str(bytes).unwrap()
}

/// As a bucket stores it.
fn written(delivery: &Delivery) -> Value {
    serde_json::to_value(delivery).unwrap()
}

#[test]
fn entries_of_before_are_read_and_written_back_unchanged() {
    for bytes in [PUSH, HELD, APPROVED, RERUN, INSTALLATION, IDEMPOTENCY_KEY, DUPLICATE, STRANGE] {
        let delivery = read(bytes);
        let before: Value = serde_json::from_str(bytes).unwrap();
        assert_eq!(written(&delivery), before);
        assert_eq!(written(&delivery).to_string(), before.to_string());
        // What an owner is charged for it stays the same, too.
        assert_eq!(serde_json::to_vec(&delivery).unwrap().len(), bytes.len());
        assert_eq!(read(&serde_json::to_string(&delivery).unwrap()), delivery);
    }
}

#[test]
fn entries_of_before_have_typed_plans_and_approvals() {
    let (job, user): (JobId, UserId) = (JOB.parse().unwrap(), USER.parse().unwrap());
    let push = read(PUSH);
    assert!(matches!(push.event(), Some(Incoming::Push(push)) if push.synthetic));
    assert_eq!(push.plan.head_revision.as_ref().and_then(StoredJson::get), Some(7));
    assert_eq!(push.plan.rerun_of.as_ref().and_then(StoredJson::get), Some(job));
    assert_eq!(push.reason, Some(DeliveryReason::QueueFull));

    let held = read(HELD);
    assert!(matches!(held.event(), Some(Incoming::PullRequest(pull)) if pull.from_fork));
    assert_eq!(held.reason, Some(DeliveryReason::AwaitsApproval));
    assert_eq!(held.approval, DeliveryApproval::default());
    let approval = read(APPROVED).approval.commit.unwrap().get();
    assert_eq!(approval, Some(CommitApproval { sha: SHA.parse().unwrap(), by: user }));

    let rerun = read(RERUN);
    assert!(matches!(rerun.event(), Some(Incoming::Rerequested(_))));
    assert_eq!(rerun.plan.reruns.unwrap().get(), Some(vec![job]));
    let installation = read(INSTALLATION);
    assert!(matches!(installation.event(), Some(Incoming::Installation(_))));
    assert_eq!(installation.approval.installation.unwrap().get(), Some(user));
    assert_eq!(read(DUPLICATE).reason, Some(DeliveryReason::DuplicateOf(job)));
    for bytes in [PUSH, HELD, APPROVED, RERUN, INSTALLATION] {
        assert!(read(bytes).other.keys().eq(["nonce", "v"]));
    }
}

#[test]
fn what_is_not_understood_has_no_value() {
    let strange = read(STRANGE);
    assert_eq!(strange.event(), None);
    assert_eq!(strange.plan.head_revision.unwrap().get(), None);
    assert_eq!(strange.plan.rerun_of.unwrap().get(), None);
    assert_eq!(strange.plan.reruns.unwrap().get(), None);
    // Whether something was approved does not depend on who did it.
    assert_eq!(strange.approval.commit.unwrap().get(), None);
    assert_eq!(strange.approval.installation.unwrap().get(), None);
    assert_eq!(strange.reason, Some(DeliveryReason::Other("a reason of a newer program".to_owned())));
}

#[test]
fn new_values_are_stored_as_before() {
    let mut approved = read(HELD);
    let approval = CommitApproval { sha: SHA.parse().unwrap(), by: USER.parse().unwrap() };
    approved.approval.commit = Some((&approval).into());
    approved.jobs = vec![JOB.parse().unwrap()];
    approved.verdict = Some(Verdict::Accepted);
    approved.reason = None;
    assert_eq!(written(&approved), serde_json::from_str::<Value>(APPROVED).unwrap());
    let mut push = read(PUSH);
    push.plan.head_revision = Some((&7_u64).into());
    push.plan.rerun_of = Some((&JOB.parse::<JobId>().unwrap()).into());
    let event = push.event().unwrap();
    push.incoming = Some((&event).into());
    assert_eq!(written(&push), serde_json::from_str::<Value>(PUSH).unwrap());
}
