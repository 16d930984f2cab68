//! A session with a git server: handshake, refs, fetch. gix speaks the protocol.
//!
//! One handshake serves all of it. A commit is asked for in one request: what we have is told at once, and
//! no negotiation is waited for.

use std::path::Path;

use gix::{
    ObjectId,
    bstr::BString,
    progress::Discard,
    protocol::{
        Handshake, LsRefsCommand,
        fetch::{self, Arguments, Negotiate, Response, Shallow, Tags, negotiate},
        handshake::Ref,
        ls_refs::RefPrefixes,
        transport::{
            Protocol, Service, client::TransportWithoutIO as _, client::blocking_io::http::Transport,
        },
    },
};

use super::{
    CheckoutError, NotGit, Request,
    limited_http::{LimitedHttp, ReadLimit},
    mirrors::MirrorSettings,
    transport,
};
use crate::objects::{Deadline, ObjectError};

/// What servers say before a pack, in bytes: what they can do, and the refs that were asked for. Servers
/// that cannot select send all of them, some ten thousand; each takes three times as much of our memory.
pub(super) const LISTING_BYTES: u64 = 4 << 20;
/// What a pack is wrapped in, beside its own bytes: five bytes in a thousand, and messages for a terminal.
const WRAPPING_BYTES: u64 = 4 << 20;
const WRAPPING_SHARE: u64 = 100;

/// A server that answered, and what may still be read from it.
pub(super) struct GitSession<'a> {
    settings: &'a MirrorSettings,
    request: &'a Request,
    read_limit: ReadLimit,
    transport: Transport<LimitedHttp>,
    handshake: Handshake,
}

impl<'a> GitSession<'a> {
    /// Says who we are.
    pub(super) fn begin(
        settings: &'a MirrorSettings,
        request: &'a Request,
        wanted: &str,
        deadline: &Deadline,
    ) -> Result<Self, CheckoutError> {
        let options = transport::options(&settings.allow, settings.ca_bundle.as_deref(), request)
            .map_err(CheckoutError::Broken)?;
        let read_limit = ReadLimit::new(LISTING_BYTES, deadline.clone());
        let begin = || -> gix::Result<_> {
            let url = gix::url::parse(gix::bstr::BStr::new(request.url.as_str()))?;
            let mut transport =
                Transport::new_http(LimitedHttp::new(read_limit.clone()), url, Protocol::V2, false);
            transport.configure(&*options)?;
            let credentials = transport::credentials(settings.allow.clone(), request.clone());
            let handshake = gix::protocol::handshake(
                &mut transport,
                Service::UploadPack,
                credentials,
                Vec::new(),
                &mut Discard,
            )?;
            Ok((transport, handshake))
        };
        let (transport, handshake) =
            begin().map_err(|error| why(&error, settings, request, wanted, &read_limit))?;
        let format = handshake.capabilities.capability("object-format");
        if format.and_then(|format| format.value()).is_some_and(|format| format == "sha256") {
            return Err(CheckoutError::Sha256);
        }
        Ok(Self { settings, request, read_limit, transport, handshake })
    }

    /// The refs whose names begin so. Servers of the old versions have sent all of them already.
    pub(super) fn refs(&mut self, prefixes: &[String], wanted: &str) -> Result<Vec<Ref>, CheckoutError> {
        if let Some(refs) = &self.handshake.refs {
            let is_asked = |name: &BString| prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()));
            return Ok(refs.iter().filter(|found| is_asked(name(found))).cloned().collect());
        }
        self.read_limit.set(LISTING_BYTES);
        let mut asked = RefPrefixes::new();
        asked.extend(prefixes.iter().map(|prefix| BString::from(prefix.as_str())));
        LsRefsCommand::new(Some(asked), &self.handshake.capabilities, agent())
            .invoke_blocking(&mut self.transport, &mut Discard, false)
            .map_err(|error| why(&error, self.settings, self.request, wanted, &self.read_limit))
    }

    /// Asks for a commit without its parents, and gives the pack to `take`.
    pub(super) fn fetch(
        &mut self,
        id: ObjectId,
        haves: Vec<ObjectId>,
        shallow_file: &Path,
        take: impl FnOnce(&mut dyn std::io::BufRead) -> Result<(), ObjectError>,
    ) -> Result<(), CheckoutError> {
        let wanted = id.to_hex().to_string();
        self.read_limit.set(LISTING_BYTES);
        let (read_limit, max_bytes) = (self.read_limit.clone(), self.settings.max_bytes);
        let mut taken = Ok(());
        let fetched = fetch::Context {
            handshake: &mut self.handshake,
            transport: &mut self.transport,
            user_agent: agent(),
            trace_packetlines: false,
        };
        let fetched = gix::protocol::fetch(
            &mut Wanted { id, haves },
            |pack, _, _| {
                read_limit
                    .set(max_bytes.saturating_add(max_bytes / WRAPPING_SHARE).saturating_add(WRAPPING_BYTES));
                taken = take(pack);
                // What went wrong is in `taken`; here it only ends the fetch.
                if taken.is_err() { Err(gix::error::message("not taken").into()) } else { Ok(true) }
            },
            Discard,
            self.read_limit.deadline().stopped(),
            fetched,
            fetch::Options {
                shallow_file: shallow_file.to_owned(),
                shallow: &Shallow::DepthAtRemote(std::num::NonZeroU32::MIN),
                tags: Tags::None,
                reject_shallow_remote: false,
            },
        );
        match (taken, fetched) {
            // What broke off is told by whoever broke it off.
            (Err(ObjectError::Incoming(source)), Err(error)) => {
                match why(&error, self.settings, self.request, &wanted, &self.read_limit) {
                    CheckoutError::Unreachable(_) => Err(CheckoutError::Unreachable(source.to_string())),
                    CheckoutError::TooManyRefs => Err(CheckoutError::TooLarge(max_bytes)),
                    other => Err(other),
                }
            }
            (Err(error), _) => Err(CheckoutError::of_objects(error)),
            (Ok(()), Err(error)) => Err(why(&error, self.settings, self.request, &wanted, &self.read_limit)),
            (Ok(()), Ok(_)) => Ok(()),
        }
    }
}

fn agent() -> (&'static str, Option<String>) {
    ("agent", Some(transport::USER_AGENT.to_owned()))
}

fn name(found: &Ref) -> &BString {
    match found {
        Ref::Peeled { full_ref_name, .. }
        | Ref::Direct { full_ref_name, .. }
        | Ref::Symbolic { full_ref_name, .. }
        | Ref::Unborn { full_ref_name, .. } => full_ref_name,
    }
}

/// What an error of gix's means here.
fn why(
    error: &gix::Error,
    settings: &MirrorSettings,
    request: &Request,
    wanted: &str,
    read_limit: &ReadLimit,
) -> CheckoutError {
    if let Err(error) = read_limit.deadline().check() {
        return CheckoutError::of_objects(error);
    }
    if read_limit.exceeded() {
        return CheckoutError::TooManyRefs;
    }
    match CheckoutError::read(error, wanted) {
        CheckoutError::NotGit(NotGit::Other) => CheckoutError::NotGit(transport::what_is_there(
            &settings.allow,
            settings.ca_bundle.as_deref(),
            request,
            read_limit.deadline(),
        )),
        other => other,
    }
}

/// One commit is wanted, and some others are here.
struct Wanted {
    id: ObjectId,
    haves: Vec<ObjectId>,
}

impl Negotiate for Wanted {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate { remote_ref_target_known: Vec::new() })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _: &[bool]) -> bool {
        arguments.want(self.id);
        true
    }

    fn one_round(
        &mut self,
        _: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        before: Option<&Response>,
    ) -> gix::Result<(negotiate::Round, bool)> {
        // All was said at once; a server that has not sent the pack then would be asked for ever.
        if before.is_some() {
            return Err(gix::error::message("the server sends no pack").into());
        }
        self.haves.iter().for_each(|id| arguments.have(id));
        let sent = self.haves.len();
        let round = negotiate::Round {
            haves_sent: sent,
            in_vain: 0,
            haves_to_send: sent,
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}
