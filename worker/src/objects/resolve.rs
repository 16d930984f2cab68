//! Computes the ids of objects that came as deltas: each is made once, from one whose id is known, depth first.
//!
//! Only the objects on the way are at hand, and large ones are in files; what was pushed out of the cache
//! is made again, within the time that there is.

use std::{collections::HashMap, fs::File, io::Write, sync::Arc};

use gix::ObjectId;

use super::{
    Deadline, MAX_CHAIN, ObjectError,
    content::Writer,
    delta,
    header::Encoding,
    index::IndexEntry,
    pack::Pack,
    receive::IdHasher,
    store::{Location, Store},
};

/// One object of the pack that came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    offset: u64,
    crc: u32,
    id: Option<ObjectId>,
}

/// All objects of the pack that came in.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) entries: Vec<Entry>,
    /// Objects that came whole, by their number.
    whole: Vec<u32>,
    /// Deltas by the number of what they are made from.
    on_entry: Vec<(u32, u32)>,
    /// Deltas by the id of what they are made from.
    on_id: Vec<(ObjectId, u32)>,
}

/// An object whose name is known, and from which others may be made.
#[derive(Debug, Clone, Copy)]
struct Node {
    place: Location,
    number: Option<u32>,
    id: ObjectId,
    depth: usize,
}

impl Received {
    /// Notes the next object; `id` where it came whole.
    pub(super) fn add(
        &mut self,
        offset: u64,
        crc: u32,
        form: Encoding,
        id: Option<ObjectId>,
    ) -> Result<(), ObjectError> {
        let number = u32::try_from(self.entries.len()).map_err(|_| ObjectError::TooMany)?;
        match form {
            Encoding::Whole(_) => self.whole.push(number),
            Encoding::OffsetDelta(base) => {
                let base = self.entries.binary_search_by_key(&base, |entry| entry.offset);
                let base = base.map_err(|_| ObjectError::Damaged("a delta's base is no object"))?;
                self.on_entry.push((u32::try_from(base).map_err(|_| ObjectError::TooMany)?, number));
            }
            Encoding::RefDelta(base) => self.on_id.push((base, number)),
        }
        self.entries.push(Entry { offset, crc, id });
        Ok(())
    }

    /// All of them, once they have names.
    pub(super) fn listed(&self) -> Result<Vec<IndexEntry>, ObjectError> {
        let named = |entry: &Entry| {
            let id = entry.id.ok_or(ObjectError::Damaged("what a delta is made from was not sent"))?;
            Ok(IndexEntry { id, crc: entry.crc, offset: entry.offset })
        };
        self.entries.iter().map(named).collect()
    }

    /// The deltas that are made from this object and have no name yet, by their number.
    fn made_from(&self, node: &Node) -> Vec<u32> {
        let on_entry = node.number.map_or(0..0, |number| same(&self.on_entry, number));
        let on_id = same(&self.on_id, node.id);
        self.on_entry[on_entry]
            .iter()
            .map(|(_, number)| *number)
            .chain(self.on_id[on_id].iter().map(|(_, number)| *number))
            .filter(|number| self.entries[*number as usize].id.is_none())
            .collect()
    }

    fn has_children(&self, number: u32, id: ObjectId) -> bool {
        !same(&self.on_entry, number).is_empty() || !same(&self.on_id, id).is_empty()
    }
}

/// The range of a sorted list with this key.
fn same<K: Ord + Copy>(sorted: &[(K, u32)], key: K) -> std::ops::Range<usize> {
    let from = sorted.partition_point(|(other, _)| *other < key);
    from..from + sorted[from..].partition_point(|(other, _)| *other == key)
}

/// Gives every delta of `received` its name. `pack` is the file that `received` tells of; what its deltas
/// are made from may be in `store`.
pub(super) fn resolve(
    store: &mut Store,
    pack: Arc<File>,
    received: &mut Received,
    deadline: &Deadline,
) -> Result<(), ObjectError> {
    received.on_entry.sort_unstable();
    received.on_id.sort_unstable();
    let number = store.packs.len();
    let mut outside: Vec<ObjectId> = received.on_id.iter().map(|(id, _)| *id).collect();
    outside.dedup();
    let mut roots = Vec::new();
    for id in outside {
        if let Some(place) = store.find(&id)? {
            roots.push(Node { place, number: None, id, depth: 0 });
        }
    }
    store.packs.push(Pack { file: pack, index: None, bases: HashMap::new() });
    let whole = std::mem::take(&mut received.whole);
    for entry in whole {
        let Entry { offset, id, .. } = received.entries[entry as usize];
        let id = id.ok_or(ObjectError::Damaged("a whole object has no name"))?;
        if received.has_children(entry, id) {
            let root = Node { place: Location::Packed(number, offset), number: Some(entry), id, depth: 0 };
            below(store, number, received, root, deadline)?;
        }
    }
    for root in roots {
        below(store, number, received, root, deadline)?;
    }
    Ok(())
}

/// Names everything that is made from `root`, and from that.
fn below(
    store: &mut Store,
    pack: usize,
    received: &mut Received,
    root: Node,
    deadline: &Deadline,
) -> Result<(), ObjectError> {
    let mut todo = vec![root];
    while let Some(node) = todo.pop() {
        let children = received.made_from(&node);
        let (kind, base) = store.content(node.place, deadline)?;
        for child in children {
            deadline.check()?;
            if node.depth >= MAX_CHAIN {
                return Err(ObjectError::TooDeep);
            }
            let offset = received.entries[child as usize].offset;
            let place = Location::Packed(pack, offset);
            if received.on_id.binary_search(&(node.id, child)).is_ok() {
                store.packs[pack].bases.insert(offset, node.place);
            }
            let (id, made) = store.with_delta(place, |sizes, input| {
                kind.check(sizes.result)?;
                let mut out =
                    Named { naming: IdHasher::new(kind, sizes.result), kept: Kept::new(sizes.result) };
                delta::apply(&base, sizes, input, &mut out, deadline)?;
                Ok((out.naming.finish()?, out.kept))
            })?;
            received.entries[child as usize].id = Some(id);
            if received.has_children(child, id) {
                if let Kept::Memory(bytes) = made {
                    store.cache(place, kind, &bytes.finish()?);
                }
                todo.push(Node { place, number: Some(child), id, depth: node.depth + 1 });
            }
        }
    }
    Ok(())
}

/// What a delta makes, kept only where it is small.
enum Kept {
    Memory(Writer),
    Nothing,
}

impl Kept {
    fn new(size: u64) -> Self {
        if size > super::content::IN_MEMORY_BYTES {
            return Self::Nothing;
        }
        Self::Memory(Writer::Memory(Vec::with_capacity(usize::try_from(size).unwrap_or(0))))
    }
}

struct Named {
    naming: IdHasher,
    kept: Kept,
}

impl Write for Named {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.kept {
            Kept::Memory(writer) => writer.write_all(bytes)?,
            Kept::Nothing => {}
        }
        self.naming.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
