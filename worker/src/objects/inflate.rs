//! Inflating one zlib stream, as much at a time as is asked for.

use std::io::{self, BufRead, Read};

use gix::zlib::{Decompress, FlushDecompress, Status};

/// The bytes of one zlib stream. What follows it in the input stays there.
pub(super) struct Inflate<'a, R> {
    input: R,
    state: &'a mut Decompress,
    at_end: bool,
}

impl<'a, R: BufRead> Inflate<'a, R> {
    /// Begins a stream; `state` is used again and again, since it is large.
    pub(super) fn new(input: R, state: &'a mut Decompress) -> Self {
        state.reset();
        Self { input, state, at_end: false }
    }
}

/// What is no zlib stream is [`io::ErrorKind::InvalidData`]; other errors are the input's.
impl<R: BufRead> Read for Inflate<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let garbled = || io::Error::from(io::ErrorKind::InvalidData);
        if out.is_empty() || self.at_end {
            return Ok(0);
        }
        loop {
            let bytes = self.input.fill_buf()?;
            let is_over = bytes.is_empty();
            let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(bytes, out, FlushDecompress::None).map_err(|_| garbled())?;
            let consumed = usize::try_from(self.state.total_in() - in_before).map_err(|_| garbled())?;
            let written = usize::try_from(self.state.total_out() - out_before).map_err(|_| garbled())?;
            self.input.consume(consumed);
            if status == Status::StreamEnd {
                self.at_end = true;
                return Ok(written);
            }
            if written > 0 {
                return Ok(written);
            }
            if is_over {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if consumed == 0 {
                return Err(garbled());
            }
        }
    }
}
