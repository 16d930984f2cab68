//! What is hidden, and what is not.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use test_case::test_case;

use super::*;

const SECRET: &str = "s3cr/t \"ä\"+é";

/// `text` in pieces of the given lengths, masked.
fn in_pieces(mask: &Mask, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut stream = mask.stream();
    let (mut out, mut rest) = (Vec::new(), text);
    for length in lengths {
        let (piece, after) = rest.split_at(rest.len().min(*length));
        out.extend_from_slice(&stream.push(Bytes::copy_from_slice(piece)));
        rest = after;
    }
    out.extend_from_slice(&stream.push(Bytes::copy_from_slice(rest)));
    out.extend_from_slice(&stream.finish());
    out
}

#[test_case(SECRET; "as it is")]
#[test_case(r#"s3cr/t \"ä\"+é"#; "json")]
#[test_case(r#"s3cr\/t \"\u00e4\"+\u00e9"#; "json of php")]
#[test_case(r#"s3cr/t \"\u00E4\"+\u00E9"#; "json in capitals")]
#[test_case("s3cr%2Ft%20%22%C3%A4%22%2B%C3%A9"; "url")]
#[test_case("s3cr%2ft%20%22%c3%a4%22%2b%c3%a9"; "url in small letters")]
#[test_case("s3cr/t%20%22%C3%A4%22%2B%C3%A9"; "path of a url")]
#[test_case("s3cr%2Ft+%22%C3%A4%22%2B%C3%A9"; "form")]
#[test_case("czNjci90ICLDpCIrw6k="; "base64")]
#[test_case("czNjci90ICLDpCIrw6k"; "base64 for urls")]
#[test_case("733363722f742022c3a4222bc3a9"; "hex")]
#[test_case("733363722F742022C3A4222BC3A9"; "hex in capitals")]
fn a_form_of_a_secret_is_hidden(form: &str) {
    let text = format!("before <{form}> after");
    assert_eq!(Mask::of([SECRET]).text(text), "before <***> after");
}

#[test]
fn base64_is_hidden_wherever_the_secret_lies_in_what_was_encoded() {
    let secret = "correct horse battery staple";
    let mask = Mask::of([secret]);
    for before in ["", "x", "xy", "xyz"] {
        let encoded = BASE64_STANDARD.encode(format!("{before}{secret}, and more"));
        let masked = mask.text(encoded.clone());
        assert!(masked.contains("***") && masked.len() + 30 < encoded.len(), "{masked}");
    }
}

#[test]
fn long_base64_is_hidden_across_the_breaks_of_its_lines() {
    let secret: String = (0..100).map(|n| char::from(b'a' + n % 26)).collect();
    let encoded = BASE64_STANDARD.encode(&secret);
    for width in [64, 76] {
        let broken: Vec<_> = encoded.as_bytes().chunks(width).collect();
        let text = String::from_utf8(broken.join(&b'\n')).unwrap();
        assert_eq!(Mask::of([secret.as_str()]).text(format!("{text}\nend")).lines().last(), Some("end"));
        assert!(Mask::of([secret.as_str()]).text(text).starts_with("***"));
    }
}

#[test]
fn each_longer_line_of_a_secret_is_hidden_and_blanks_around_it_do_not_matter() {
    let mask = Mask::of(["-----BEGIN-----\n  MIIEvQIBADAN\nshort\n-----END-----\n", "trailing newline\n"]);
    assert_eq!(mask.text("key: MIIEvQIBADAN, short".to_owned()), "key: ***, short");
    assert_eq!(mask.text("a trailing newline!".to_owned()), "a ***!");
}

#[test]
fn overlapping_secrets_are_hidden_to_the_last_byte() {
    let mask = Mask::of(["abcdef", "defghi", "abcd"]);
    assert_eq!(mask.text("-abcdefghi-abcd-abcde-".to_owned()), "-***-***-***e-");
}

#[test]
fn short_values_are_left_alone() {
    assert!(!can_be_hidden(" abc\n"));
    assert_eq!(Mask::of(["abc"]).text("abc abcabc".to_owned()), "abc abcabc");
}

#[test]
fn only_what_may_be_a_secrets_beginning_is_held_back() {
    let mut stream = Mask::of(["hunter2!"]).stream();
    assert_eq!(stream.push("a line\n".into()), "a line\n");
    assert_eq!(stream.push("the hunt".into()), "the ");
    assert_eq!(stream.push("ing\n".into()), "hunting\n");
    assert_eq!(stream.push("hunter2".into()), "");
    assert_eq!(stream.push("!".into()), "***");
    assert_eq!(stream.push("ok hunter".into()), "ok ");
    assert_eq!(stream.finish(), "hunter");
}

#[test]
fn a_piece_without_a_secret_is_not_even_copied() {
    let piece = Bytes::from_static(b"0123456789\n");
    assert_eq!(Mask::of(["hunter2!"]).stream().push(piece.clone()).as_ptr(), piece.as_ptr());
}

#[test]
fn an_outcome_and_a_debug_output_hide_them_too() {
    let mask = Mask::of(["hunter2!"]);
    let outcome = Outcome::function(jobs::Cause::Exit, "could not be started: hunter2!");
    assert_eq!(mask.outcome(outcome), Outcome::function(jobs::Cause::Exit, "could not be started: ***"));
    assert_eq!(format!("{mask:?}"), "Mask(…)");
}

/// A value of at least the bytes that are hidden; no `*`, which the mask itself writes.
fn secret() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-zA-Z0-9 /+=\"\\\\%&<>\\näé€_.-]{4,40}")
        .unwrap()
        .prop_filter("long enough", |value| can_be_hidden(value))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

proptest! {
    #[test]
    fn no_form_of_a_secret_comes_through_wherever_the_stream_is_cut(
        secrets in vec(secret(), 1..4),
        picks in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[a-z0-9 \n]{0,12}"), 1..8),
        lengths in vec(0usize..12, 0..60),
    ) {
        let all: Vec<Vec<Vec<u8>>> = secrets.iter().map(|secret| forms::of(secret).into_iter().collect()).collect();
        let mut text = Vec::new();
        for (which, form, filler) in &picks {
            text.extend_from_slice(filler.as_bytes());
            let forms: &Vec<Vec<u8>> = which.get(all.as_slice());
            let form: &Vec<u8> = form.get(forms.as_slice());
            text.extend_from_slice(form);
        }
        let mask = Mask::of(secrets.iter().map(String::as_str));
        let masked = in_pieces(&mask, &text, &lengths);
        for form in all.iter().flatten() {
            prop_assert!(!contains(&masked, form), "{:?} in {:?}", String::from_utf8_lossy(form), String::from_utf8_lossy(&masked));
        }
        prop_assert_eq!(&masked, &in_pieces(&mask, &text, &[]), "how it is cut must not matter");
    }

    #[test]
    fn text_without_a_secret_passes_unchanged(
        text in vec(any::<u8>().prop_filter("not of the secret", |byte| !b"#@".contains(byte)), 0..400),
        lengths in vec(0usize..20, 0..40),
    ) {
        // All forms of this value hold one of these bytes, or letters that are asked for together.
        let mask = Mask::of(["#@#@#@#@"]);
        prop_assume!(["%23%40", "I0Aj", "NAI0", "jQCN", "Aj", "23402340"].iter().all(|form| !contains(&text, form.as_bytes())));
        prop_assert_eq!(in_pieces(&mask, &text, &lengths), text);
    }

    #[test]
    fn base64_of_more_than_the_secret_holds_no_recognisable_part(
        secret in "[a-zA-Z0-9]{12,40}", before in "[a-z]{0,5}", after in "[a-z]{0,5}",
    ) {
        let whole = format!("{before}{secret}{after}");
        for encoded in [BASE64_STANDARD.encode(&whole), BASE64_URL_SAFE_NO_PAD.encode(&whole)] {
            let masked = Mask::of([secret.as_str()]).text(encoded);
            let kept = masked.replace("***", "");
            prop_assert!(kept.trim_end_matches('=').len() <= (before.len() + after.len()) * 4 / 3 + 3, "{}", masked);
        }
    }
}
