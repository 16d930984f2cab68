//! Packs as no git makes them, written object by object to a file.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use gix::ObjectId;

/// The bits of an object's kind in its header.
pub(crate) const COMMIT: u8 = 1;
pub(crate) const TREE: u8 = 2;
pub(crate) const BLOB: u8 = 3;
pub(crate) const OFS_DELTA: u8 = 6;
pub(crate) const REF_DELTA: u8 = 7;

/// A pack, and the commit in it that is to be fetched.
#[derive(Clone)]
pub(crate) struct Hostile {
    pub(crate) pack: PathBuf,
    pub(crate) commit: ObjectId,
}

/// Names an object, as git does.
fn id(kind: &str, bytes: &mut dyn Iterator<Item = Vec<u8>>, len: u64) -> ObjectId {
    let mut hash = gix::hash::hasher(gix::hash::Kind::Sha1);
    hash.update(format!("{kind} {len}\0").as_bytes());
    bytes.for_each(|piece| hash.update(&piece));
    hash.try_finalize().unwrap()
}

/// A stretch of zeros, a piece at a time.
pub(crate) fn zeros(len: u64) -> impl Iterator<Item = Vec<u8>> {
    const PIECE: u64 = 1 << 16;
    (0..len.div_ceil(PIECE)).map(move |n| vec![0; usize::try_from((len - n * PIECE).min(PIECE)).unwrap()])
}

/// Writes a pack.
pub(crate) struct Pack {
    objects: BufWriter<File>,
    path: PathBuf,
    len: u64,
    count: u32,
}

impl Pack {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        Self { objects: BufWriter::new(File::create(&path).unwrap()), path, len: 12, count: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.objects.write_all(bytes).unwrap();
        self.len += bytes.len() as u64;
    }

    /// An object with this header, whatever is in it; returns where it begins.
    pub(crate) fn raw(
        &mut self,
        kind: u8,
        claimed: u64,
        base: &[u8],
        pieces: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> u64 {
        let offset = self.len;
        self.count += 1;
        let mut rest = claimed >> 4;
        let mut head = vec![kind << 4 | u8::try_from(claimed & 15).unwrap()];
        while rest > 0 {
            *head.last_mut().unwrap() |= 0x80;
            head.push(u8::try_from(rest & 0x7f).unwrap());
            rest >>= 7;
        }
        self.put(&head);
        self.put(base);
        let mut deflate =
            gix::zlib::stream::deflate::Write::new(Vec::new(), gix::zlib::Compression::BEST_SPEED);
        for piece in pieces {
            deflate.write_all(&piece).unwrap();
        }
        deflate.flush().unwrap();
        let deflated = deflate.into_inner();
        self.put(&deflated);
        offset
    }

    fn whole(&mut self, kind: u8, word: &str, bytes: Vec<u8>) -> (ObjectId, u64) {
        let len = bytes.len() as u64;
        let id = id(word, &mut std::iter::once(bytes.clone()), len);
        (id, self.raw(kind, len, &[], &mut std::iter::once(bytes)))
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> (ObjectId, u64) {
        self.whole(BLOB, "blob", bytes.to_vec())
    }

    /// A file of so many zeros.
    pub(crate) fn zeros(&mut self, len: u64) -> (ObjectId, u64) {
        (id("blob", &mut zeros(len), len), self.raw(BLOB, len, &[], &mut zeros(len)))
    }

    /// A folder of these entries; a mode of 40000 is another folder.
    pub(crate) fn tree(&mut self, entries: &[(&str, &str, ObjectId)]) -> ObjectId {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(id.as_slice());
        }
        self.whole(TREE, "tree", bytes).0
    }

    /// A delta on what begins at `base`, which says that it makes `result` bytes.
    pub(crate) fn delta(&mut self, base: u64, base_len: u64, result: u64, instructions: &[u8]) -> u64 {
        let mut back = self.len - base;
        let mut base = vec![u8::try_from(back & 0x7f).unwrap()];
        back >>= 7;
        while back > 0 {
            back -= 1;
            base.insert(0, 0x80 | u8::try_from(back & 0x7f).unwrap());
            back >>= 7;
        }
        let delta = delta(base_len, result, instructions);
        self.raw(OFS_DELTA, delta.len() as u64, &base, &mut std::iter::once(delta))
    }

    /// The pack with a commit of this folder.
    pub(crate) fn commit(mut self, tree: ObjectId) -> Hostile {
        let text = format!(
            "tree {tree}\nauthor a <a@example.com> 0 +0000\ncommitter a <a@example.com> 0 +0000\n\na\n"
        );
        let (commit, _) = self.whole(COMMIT, "commit", text.into_bytes());
        let count = self.count;
        self.claiming(count, commit)
    }

    /// The pack as it is, which says that it has so many objects.
    pub(crate) fn claiming(mut self, count: u32, commit: ObjectId) -> Hostile {
        self.objects.flush().unwrap();
        let head = [b"PACK".as_slice(), &2_u32.to_be_bytes(), &count.to_be_bytes()].concat();
        let whole = self.path.with_extension("pack");
        let mut out = BufWriter::new(File::create(&whole).unwrap());
        let mut hash = gix::hash::hasher(gix::hash::Kind::Sha1);
        let mut write = |bytes: &[u8]| {
            hash.update(bytes);
            out.write_all(bytes).unwrap();
        };
        write(&head);
        let mut objects = File::open(&self.path).unwrap();
        let mut piece = vec![0; 1 << 16];
        loop {
            match std::io::Read::read(&mut objects, &mut piece).unwrap() {
                0 => break,
                read => write(&piece[..read]),
            }
        }
        let hash = hash.try_finalize().unwrap();
        out.write_all(hash.as_slice()).unwrap();
        out.flush().unwrap();
        Hostile { pack: whole, commit }
    }
}

/// A delta of these sizes.
pub(crate) fn delta(base: u64, result: u64, instructions: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut size in [base, result] {
        while size > 0x7f {
            bytes.push(0x80 | u8::try_from(size & 0x7f).unwrap());
            size >>= 7;
        }
        bytes.push(u8::try_from(size).unwrap());
    }
    bytes.extend_from_slice(instructions);
    bytes
}
