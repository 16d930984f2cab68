//! All objects of one mirror.

use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::ObjectId;
use parking_lot::Mutex;

use super::{
    Deadline, Kind, MAX_CHAIN, MAX_COMMIT_BYTES, ObjectError,
    content::{Content, Writer},
    delta::{self, broken},
    header::Encoding,
    index::Index,
    loose,
    pack::Pack,
};

/// Packs of one mirror; each fetch brings one, and each is looked into and takes two files. A mirror with
/// more is made anew, which costs one whole fetch at depth 1.
pub(crate) const MAX_PACKS: usize = 24;
/// Objects from which others are made are kept so far, in bytes.
const CACHE_BYTES: usize = 4 << 20;
/// How much is copied before the clock is looked at, in bytes.
const PIECE_BYTES: usize = 32 << 10;
/// The file that says that objects are damaged.
const DAMAGED: &str = "gitfaas-damaged";
/// Tags that lead to tags.
const MAX_TAGS: usize = 10;

/// Takes an object: its kind, its size and its bytes.
pub(crate) type Take<'a, E> = dyn FnMut(Kind, u64, &mut dyn Read) -> Result<(), E> + 'a;

/// Where an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Location {
    /// In the pack of this number, at this offset.
    Packed(usize, u64),
    /// In a file of its own.
    Loose(ObjectId),
}

/// The objects of one mirror, for reading.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) objects: PathBuf,
    /// The oldest first: what a pack leaves out is in an older one.
    pub(super) packs: Vec<Pack>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    kept: HashMap<Location, (Kind, Arc<Vec<u8>>)>,
    order: VecDeque<Location>,
    bytes: usize,
}

impl Store {
    /// The objects below `objects`, as they are now.
    pub(crate) fn open(objects: &Path) -> Result<Self, ObjectError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(objects.join("pack"))? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "idx") {
                found.push((entry.metadata()?.modified()?, path));
            }
        }
        found.sort();
        let packs = found.into_iter().map(|(_, path)| {
            let index = Index::open(&path)?;
            Ok(Pack {
                file: Arc::new(File::open(path.with_extension("pack"))?),
                index: Some(index),
                bases: HashMap::new(),
            })
        });
        let packs = packs.collect::<io::Result<Vec<_>>>()?;
        Ok(Self { objects: objects.to_owned(), packs, cache: Mutex::default() })
    }

    /// Notes that an object is not what it was when it came, or is not there: the mirror is not used again.
    pub(crate) fn note_damage(&self) {
        // Where it cannot be noted, the next one finds out by itself.
        let _ = File::create(self.objects.join(DAMAGED));
    }

    /// Whether damage was noted.
    pub(crate) fn is_damaged(&self) -> bool {
        self.objects.join(DAMAGED).exists()
    }

    /// How many packs there are.
    pub(crate) fn packs(&self) -> usize {
        self.packs.len()
    }

    pub(super) fn find(&self, id: &ObjectId) -> Result<Option<Location>, ObjectError> {
        for (number, pack) in self.packs.iter().enumerate() {
            if let Some(offset) = pack.find(id)? {
                return Ok(Some(Location::Packed(number, offset)));
            }
        }
        Ok(loose::is_there(&self.objects, id).then_some(Location::Loose(*id)))
    }

    fn place(&self, id: &ObjectId) -> Result<Location, ObjectError> {
        self.find(id)?.ok_or(ObjectError::Missing(*id))
    }

    /// Whether the object is here.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.find(id).is_ok_and(|found| found.is_some())
    }

    /// What an object is and how large, without inflating more than its first bytes.
    pub(crate) fn header(&self, id: &ObjectId) -> Result<(Kind, u64), ObjectError> {
        let mut place = self.place(id)?;
        let mut known = None;
        for _ in 0..=MAX_CHAIN * MAX_PACKS {
            let (form, size) = match place {
                Location::Loose(id) => {
                    loose::open(&self.objects, &id, |kind, size, _| Ok((Encoding::Whole(kind), size)))?
                }
                Location::Packed(number, offset) => self.packs[number].open(offset, |header, bytes| {
                    Ok(match (header.form, known) {
                        (Encoding::Whole(_), _) | (_, Some(_)) => (header.form, header.size),
                        (Encoding::OffsetDelta(_) | Encoding::RefDelta(_), None) => {
                            (header.form, delta::sizes(bytes)?.result)
                        }
                    })
                })?,
            };
            let size = *known.get_or_insert(size);
            match form {
                Encoding::Whole(kind) => return Ok((kind, size)),
                Encoding::OffsetDelta(_) | Encoding::RefDelta(_) => place = self.base(place, form)?,
            }
        }
        Err(ObjectError::TooDeep)
    }

    /// Where large objects are for a while: outside of the mirror, which may be given up meanwhile.
    fn scratch(&self) -> &Path {
        self.objects.ancestors().nth(2).unwrap_or(&self.objects)
    }

    /// What the delta at `place` is made from.
    fn base(&self, place: Location, form: Encoding) -> Result<Location, ObjectError> {
        match (place, form) {
            (Location::Packed(number, _), Encoding::OffsetDelta(base)) => Ok(Location::Packed(number, base)),
            (Location::Packed(number, offset), Encoding::RefDelta(id)) => {
                match self.packs[number].bases.get(&offset) {
                    Some(base) => Ok(*base),
                    None => self.place(&id),
                }
            }
            (_, Encoding::Whole(_)) | (Location::Loose(_), _) => {
                Err(ObjectError::Damaged("a delta stands by itself"))
            }
        }
    }

    /// A whole object, in memory or in a file.
    pub(super) fn content(
        &self,
        place: Location,
        deadline: &Deadline,
    ) -> Result<(Kind, Content), ObjectError> {
        let mut deltas = Vec::new();
        let mut at = place;
        let (kind, mut content) = loop {
            if let Some(found) = self.cached(&at) {
                break found;
            }
            deadline.check()?;
            let whole = |kind: Kind, size: u64, bytes: &mut dyn Read| {
                kind.check(size)?;
                let mut out = Writer::new(size, self.scratch())?;
                copy_exactly(bytes, size, &mut out, deadline)?;
                Ok((kind, out.finish()?))
            };
            let form = match at {
                Location::Loose(id) => break loose::open(&self.objects, &id, whole)?,
                Location::Packed(number, offset) => {
                    let opened = self.packs[number].open(offset, |header, bytes| match header.form {
                        Encoding::Whole(kind) => whole(kind, header.size, bytes).map(Ok),
                        form @ (Encoding::OffsetDelta(_) | Encoding::RefDelta(_)) => Ok(Err(form)),
                    })?;
                    match opened {
                        Ok(found) => break found,
                        Err(form) => form,
                    }
                }
            };
            deltas.push(at);
            if deltas.len() > MAX_CHAIN * MAX_PACKS {
                return Err(ObjectError::TooDeep);
            }
            at = self.base(at, form)?;
        };
        for delta in deltas.into_iter().rev() {
            self.cache(at, kind, &content);
            content = self.applied(delta, kind, &content, deadline)?;
            at = delta;
        }
        Ok((kind, content))
    }

    /// What the delta at `place` makes of `base`.
    fn applied(
        &self,
        place: Location,
        kind: Kind,
        base: &Content,
        deadline: &Deadline,
    ) -> Result<Content, ObjectError> {
        self.with_delta(place, |sizes, input| {
            kind.check(sizes.result)?;
            let mut out = Writer::new(sizes.result, self.scratch())?;
            delta::apply(base, sizes, input, &mut out, deadline)?;
            Ok(out.finish()?)
        })
    }

    /// The instructions of the delta at `place`.
    pub(super) fn with_delta<T>(
        &self,
        place: Location,
        take: impl FnOnce(delta::Sizes, &mut BufReader<&mut dyn Read>) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let Location::Packed(number, offset) = place else {
            return Err(ObjectError::Damaged("a delta stands by itself"));
        };
        self.packs[number].open(offset, |_, bytes| {
            let mut input = BufReader::new(bytes);
            let sizes = delta::sizes(&mut input)?;
            take(sizes, &mut input)
        })
    }

    fn cached(&self, place: &Location) -> Option<(Kind, Content)> {
        let cache = self.cache.lock();
        cache.kept.get(place).map(|(kind, bytes)| (*kind, Content::Memory(Arc::clone(bytes))))
    }

    /// Keeps what others are made from, as far as there is room.
    pub(super) fn cache(&self, place: Location, kind: Kind, content: &Content) {
        let Content::Memory(bytes) = content else { return };
        let mut cache = self.cache.lock();
        if cache.kept.insert(place, (kind, Arc::clone(bytes))).is_some() {
            return;
        }
        cache.order.push_back(place);
        cache.bytes += bytes.len() + size_of::<Location>() * 4;
        while cache.bytes > CACHE_BYTES
            && let Some(oldest) = cache.order.pop_front()
        {
            if let Some((_, bytes)) = cache.kept.remove(&oldest) {
                cache.bytes -= bytes.len() + size_of::<Location>() * 4;
            }
        }
    }

    /// A commit, tag or folder as a whole, which may have so many bytes.
    pub(crate) fn read(
        &self,
        id: &ObjectId,
        wanted: Kind,
        max_bytes: u64,
        deadline: &Deadline,
    ) -> Result<Vec<u8>, ObjectError> {
        let mut whole = Vec::new();
        self.with(id, deadline, &mut |kind, size, bytes| {
            if kind != wanted {
                return Err(ObjectError::Garbled("an object stands in another one's place"));
            }
            if size > max_bytes {
                return Err(ObjectError::Oversized { kind, limit_bytes: max_bytes });
            }
            whole.reserve_exact(usize::try_from(size).unwrap_or(0));
            copy_exactly(bytes, size, &mut whole, deadline)
        })?;
        Ok(whole)
    }

    /// Kind, size and bytes of an object for `take`: as they are inflated, or from where a delta was applied.
    pub(crate) fn with<E: std::convert::From<ObjectError>>(
        &self,
        id: &ObjectId,
        deadline: &Deadline,
        take: &mut Take<'_, E>,
    ) -> Result<(), E> {
        let place = self.place(id)?;
        let mut watched =
            |kind: Kind, size: u64, bytes: &mut dyn Read| take(kind, size, &mut Watched { bytes, deadline });
        let streamed = match place {
            Location::Loose(id) => {
                loose::open(&self.objects, &id, |kind, size, bytes| Ok(Some(watched(kind, size, bytes))))?
            }
            Location::Packed(number, offset) => {
                self.packs[number].open(offset, |header, bytes| match header.form {
                    Encoding::Whole(kind) => Ok(Some(watched(kind, header.size, bytes))),
                    Encoding::OffsetDelta(_) | Encoding::RefDelta(_) => Ok(None),
                })?
            }
        };
        match streamed {
            Some(taken) => taken,
            None => {
                let (kind, content) = self.content(place, deadline)?;
                watched(kind, content.len(), &mut content.reader())
            }
        }
    }

    /// The commit that `id` is, or that an annotated tag leads to, and its tree.
    pub(crate) fn commit(
        &self,
        id: ObjectId,
        deadline: &Deadline,
    ) -> Result<Option<(ObjectId, ObjectId)>, ObjectError> {
        let mut at = id;
        for _ in 0..=MAX_TAGS {
            let named = |word: &str, bytes: &[u8]| {
                let line = bytes.split(|byte| *byte == b'\n').next()?.strip_prefix(word.as_bytes())?;
                ObjectId::from_hex(line).ok()
            };
            match self.header(&at)? {
                (Kind::Commit, _) => {
                    let bytes = self.read(&at, Kind::Commit, MAX_COMMIT_BYTES, deadline)?;
                    let tree = named("tree ", &bytes);
                    return tree
                        .map(|tree| Some((at, tree)))
                        .ok_or(ObjectError::Garbled("a commit names no folder"));
                }
                (Kind::Tag, _) => {
                    let bytes = self.read(&at, Kind::Tag, MAX_COMMIT_BYTES, deadline)?;
                    at = named("object ", &bytes).ok_or(ObjectError::Garbled("a tag names no object"))?;
                }
                (Kind::Tree | Kind::Blob, _) => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Bytes of an object, until the deadline. Its errors are [`ObjectError`]s within.
struct Watched<'a> {
    bytes: &'a mut dyn Read,
    deadline: &'a Deadline,
}

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.deadline.check().map_err(io::Error::other)?;
        self.bytes.read(out).map_err(|error| io::Error::other(broken(error)))
    }
}

/// Copies what claims to be `size` bytes, and no more.
pub(super) fn copy_exactly(
    bytes: &mut dyn Read,
    size: u64,
    out: &mut impl Write,
    deadline: &Deadline,
) -> Result<(), ObjectError> {
    let mut left = size;
    let mut piece = [0; PIECE_BYTES];
    loop {
        deadline.check()?;
        let read = bytes.read(&mut piece).map_err(broken)?;
        if read == 0 {
            break;
        }
        left = left
            .checked_sub(read as u64)
            .ok_or(ObjectError::Damaged("an object is larger than it claims"))?;
        out.write_all(&piece[..read])?;
    }
    if left == 0 { Ok(()) } else { Err(ObjectError::Damaged("an object is smaller than it claims")) }
}
