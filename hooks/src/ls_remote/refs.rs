//! Parses the ref lists of git servers, in each version of the protocol.

use jobs::{CommitSha, GitRef};

use super::pkt_line::{Pkt, next};
use super::{ListRefsError, MAX_REFS, RemoteRef, RemoteRefs};

/// The longest message of a server that is quoted, in characters.
const MAX_SENTENCE_CHARS: usize = 200;

/// Version 2's request for branches and tags, for what annotated tags were put on, and for the default branch. No
/// capability is named, so ids are SHA-1.
pub(super) const LS_REFS: &str = concat!(
    "0014command=ls-refs\n",
    "0001",
    "0009peel\n",
    "000csymrefs\n",
    "0014ref-prefix HEAD\n",
    "001bref-prefix refs/heads/\n",
    "001aref-prefix refs/tags/\n",
    "0000",
);

/// What the first answer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advertisement {
    /// All refs, as versions 0 and 1 send them.
    Refs(RemoteRefs),
    /// Only what the server can do, as version 2 sends it.
    AskForRefs,
}

/// Reads the answer to `/info/refs`.
pub(super) fn advertisement(bytes: &[u8]) -> Result<Advertisement, ListRefsError> {
    let mut rest = bytes;
    let mut refs = Vec::new();
    let mut default_branch = None;
    let (mut lines, mut named) = (0, false);
    while let Some((pkt, behind)) = next(rest)? {
        rest = behind;
        let line = match pkt {
            Pkt::Line(line) => line,
            // One stands behind the service's name, the other at the end.
            Pkt::Flush if named && lines == 0 => {
                named = false;
                continue;
            }
            Pkt::Flush => return Ok(Advertisement::Refs(RemoteRefs { refs, default_branch })),
            Pkt::Mark => return Err(ListRefsError::Garbled("a mark among refs")),
        };
        if line.starts_with(b"# ") {
            named = true;
            continue;
        }
        lines += 1;
        match line {
            b"version 2" if lines == 1 => return Ok(Advertisement::AskForRefs),
            b"version 1" if lines == 1 => continue,
            _ => {}
        }
        // Capabilities stand behind the first ref's name.
        let mut parts = line.splitn(2, |byte| *byte == 0);
        let line = parts.next().unwrap_or_default();
        if let Some(capabilities) = parts.next() {
            default_branch = advertised_default_branch(capabilities);
        }
        if let Some(tagged) = peeled(line) {
            if let Some(tag) = refs.last_mut().filter(|tag: &&mut RemoteRef| tagged.is_of(tag)) {
                tag.tagged = tagged.id.parse().ok();
            }
        } else if !line.starts_with(b"shallow ") {
            add(&mut refs, line)?;
        }
    }
    Err(ListRefsError::Garbled("it ends too early"))
}

/// Reads version 2's answer to [`LS_REFS`].
pub(super) fn listed(bytes: &[u8]) -> Result<RemoteRefs, ListRefsError> {
    let mut rest = bytes;
    let mut refs = Vec::new();
    let mut default_branch = None;
    while let Some((pkt, behind)) = next(rest)? {
        rest = behind;
        match pkt {
            Pkt::Line(line) => {
                default_branch = default_branch.or_else(|| listed_default_branch(line));
                add(&mut refs, line)?;
            }
            Pkt::Flush => return Ok(RemoteRefs { refs, default_branch }),
            Pkt::Mark => return Err(ListRefsError::Garbled("a mark among refs")),
        }
    }
    // What is cut off must not look like refs that were removed.
    Err(ListRefsError::Garbled("it ends too early"))
}

/// What `HEAD` points to, among the capabilities of the older versions: `symref=HEAD:refs/heads/main`.
fn advertised_default_branch(capabilities: &[u8]) -> Option<GitRef> {
    let text = str::from_utf8(capabilities).ok()?;
    let target = text.split_ascii_whitespace().find_map(|word| word.strip_prefix("symref=HEAD:"))?;
    branch(target)
}

/// The same in version 2: `<id> HEAD symref-target:refs/heads/main`.
fn listed_default_branch(line: &[u8]) -> Option<GitRef> {
    let mut words = str::from_utf8(line).ok()?.split(' ');
    // Of a branch without a commit the first word is another.
    let is_head = words.next()?.parse::<CommitSha>().is_ok() && words.next() == Some("HEAD");
    branch(words.find_map(|word| word.strip_prefix("symref-target:"))?).filter(|_| is_head)
}

fn branch(name: &str) -> Option<GitRef> {
    name.parse::<GitRef>().ok().filter(|reference| reference.branch().is_some())
}

fn add(refs: &mut Vec<RemoteRef>, line: &[u8]) -> Result<(), ListRefsError> {
    if let Some(found) = one(line)? {
        if refs.len() >= MAX_REFS {
            return Err(ListRefsError::TooMany);
        }
        refs.push(found);
    }
    Ok(())
}

/// What the older versions say behind an annotated tag: `<id> <name>^{}`.
struct Peeled<'a> {
    id: &'a str,
    name: &'a str,
}

impl Peeled<'_> {
    fn is_of(&self, tag: &RemoteRef) -> bool {
        self.name == tag.reference.as_str()
    }
}

fn peeled(line: &[u8]) -> Option<Peeled<'_>> {
    let (id, name) = str::from_utf8(line).ok()?.split_once(' ')?;
    Some(Peeled { id, name: name.strip_suffix("^{}")? })
}

/// `<id> <name>[ <attribute>…]`; `None` for what is neither branch nor tag.
fn one(line: &[u8]) -> Result<Option<RemoteRef>, ListRefsError> {
    if let Some(words) = line.strip_prefix(b"ERR ") {
        let words = String::from_utf8_lossy(words);
        let words = words.chars().filter(|c| !c.is_control()).take(MAX_SENTENCE_CHARS);
        return Err(ListRefsError::Refused(words.collect()));
    }
    let Ok(line) = str::from_utf8(line) else { return Ok(None) };
    let mut words = line.split(' ');
    let (Some(id), Some(name)) = (words.next(), words.next()) else {
        return Err(ListRefsError::Garbled("a line without a ref"));
    };
    let Ok(reference) = name.parse::<GitRef>() else { return Ok(None) };
    let id: CommitSha = id.parse().map_err(|_| ListRefsError::Garbled("an id that is no SHA-1"))?;
    let tagged = words.find_map(|attribute| attribute.strip_prefix("peeled:")?.parse().ok());
    Ok(Some(RemoteRef { reference, id, tagged }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pkt(line: &str) -> String {
        format!("{:04x}{line}", line.len() + 4)
    }

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn names(refs: &RemoteRefs) -> Vec<String> {
        refs.refs.iter().map(|found| format!("{} {}", &found.id.as_str()[..1], found.reference)).collect()
    }

    fn tagged(refs: &RemoteRefs) -> Vec<Option<String>> {
        refs.refs.iter().map(|found| found.tagged.as_ref().map(ToString::to_string)).collect()
    }

    #[test]
    fn an_advertisement_of_the_old_versions() {
        let lines = |first: &str| {
            [
                &pkt("# service=git-upload-pack\n"),
                "0000",
                first,
                &pkt(&format!("{} HEAD\0multi_ack symref=HEAD:refs/heads/main\n", id('a'))),
                &pkt(&format!("{} refs/heads/main\n", id('a'))),
                &pkt(&format!("{} refs/pull/1/head\n", id('b'))),
                &pkt(&format!("{} refs/tags/v1\n", id('c'))),
                &pkt(&format!("{} refs/tags/v1^{{}}\n", id('a'))),
                &pkt(&format!("shallow {}\n", id('d'))),
                "0000",
            ]
            .concat()
        };
        for first in [String::new(), pkt("version 1\n")] {
            let Ok(Advertisement::Refs(refs)) = advertisement(lines(&first).as_bytes()) else {
                panic!("it is understood")
            };
            assert_eq!(names(&refs), ["a refs/heads/main", "c refs/tags/v1"]);
            assert_eq!(tagged(&refs), [None, Some(id('a'))]);
            assert_eq!(refs.default_branch.unwrap().as_str(), "refs/heads/main");
        }
    }

    #[test]
    fn an_empty_repository_has_no_refs() {
        let zeros = pkt(&format!("{} capabilities^{{}}\0agent=git\n", id('0')));
        let bytes = [&pkt("# service=git-upload-pack\n"), "0000", &zeros, "0000"].concat();
        assert_eq!(advertisement(bytes.as_bytes()).unwrap(), Advertisement::Refs(RemoteRefs::default()));
        let nothing = [&pkt("# service=git-upload-pack\n"), "0000", "0000"].concat();
        assert_eq!(advertisement(nothing.as_bytes()).unwrap(), Advertisement::Refs(RemoteRefs::default()));
        assert_eq!(listed(b"0000").unwrap(), RemoteRefs::default());
    }

    #[test]
    fn version_2_is_asked_once_more() {
        let named = [&pkt("# service=git-upload-pack\n"), "0000"].concat();
        for beginning in ["", &named] {
            let bytes = [beginning, &pkt("version 2\n"), &pkt("ls-refs=unborn\n"), "0000"].concat();
            assert_eq!(advertisement(bytes.as_bytes()).unwrap(), Advertisement::AskForRefs);
        }
        let head = pkt(&format!("{} HEAD symref-target:refs/heads/main\n", id('a')));
        let line = pkt(&format!("{} refs/heads/main symref-target:x\n", id('a')));
        let tag = pkt(&format!("{} refs/tags/v1 peeled:{}\n", id('c'), id('a')));
        let refs = listed(format!("{head}{line}{tag}0000").as_bytes()).unwrap();
        assert_eq!(names(&refs), ["a refs/heads/main", "c refs/tags/v1"]);
        assert_eq!(tagged(&refs), [None, Some(id('a'))]);
        assert_eq!(refs.default_branch.unwrap().as_str(), "refs/heads/main");
    }

    #[test]
    fn a_head_that_is_no_branch_is_no_default_branch() {
        let default = |head: &str| listed(format!("{}0000", pkt(head)).as_bytes()).unwrap().default_branch;
        let id = id('a');
        assert_eq!(default(&format!("{id} HEAD\n")), None, "detached");
        assert_eq!(default(&format!("{id} HEAD symref-target:refs/tags/v1\n")), None);
        assert_eq!(default(&format!("{id} refs/heads/x symref-target:refs/heads/main\n")), None);
        assert_eq!(default("unborn HEAD symref-target:refs/heads/main\n"), None, "no commit yet");
    }

    #[test]
    fn what_is_cut_off_garbled_or_refused_is_no_list() {
        let line = pkt(&format!("{} refs/heads/main\n", id('a')));
        assert!(matches!(listed(line.as_bytes()), Err(ListRefsError::Garbled("it ends too early"))));
        let sha256 = pkt(&format!("{} refs/heads/main\n", "a".repeat(64)));
        assert!(matches!(listed(sha256.as_bytes()), Err(ListRefsError::Garbled(_))));
        let refused = listed(pkt("ERR access denied\x1b[2J\n").as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "the git server refused: access denied[2J");
    }

    #[test]
    fn more_refs_than_are_kept_are_an_error_in_every_version() {
        let listing = |count: usize| -> String {
            let line = |n: usize| pkt(&format!("{} refs/heads/b{n}\n", id('a')));
            (0..count).map(line).chain(["0000".to_owned()]).collect()
        };
        assert_eq!(listed(listing(MAX_REFS).as_bytes()).unwrap().refs.len(), MAX_REFS);
        let many = listing(MAX_REFS + 1);
        assert!(matches!(listed(many.as_bytes()), Err(ListRefsError::TooMany)));
        assert!(matches!(advertisement(many.as_bytes()), Err(ListRefsError::TooMany)));
    }

    #[test]
    fn the_request_is_made_of_whole_lines() {
        let mut rest = LS_REFS.as_bytes();
        let mut lines = Vec::new();
        while let Some((pkt, behind)) = next(rest).unwrap() {
            rest = behind;
            lines.push(pkt);
        }
        assert_eq!(
            lines[1..],
            [
                Pkt::Mark,
                Pkt::Line(b"peel"),
                Pkt::Line(b"symrefs"),
                Pkt::Line(b"ref-prefix HEAD"),
                Pkt::Line(b"ref-prefix refs/heads/"),
                Pkt::Line(b"ref-prefix refs/tags/"),
                Pkt::Flush
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = (advertisement(&bytes), listed(&bytes));
        }

        #[test]
        fn no_lines_make_them_panic(lines in proptest::collection::vec("[ -~\0\u{e9}]{0,60}", 0..8)) {
            let text: String = lines.iter().map(|line| pkt(line)).collect();
            let _ = (advertisement(text.as_bytes()), listed(format!("{text}0000").as_bytes()));
        }
    }
}
