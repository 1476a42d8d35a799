//! Whatever a peer says to the DICOM listener: it must neither panic nor store what was not sent whole.

use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use chestlight::config::{Config, Dicom};
use chestlight::decode::dicom::TRANSFER_SYNTAXES;
use chestlight::intake::dicom_scp::{Landing, Object, Reception, serve, wire::Wire};

static DICOM: LazyLock<Dicom> = LazyLock::new(|| {
    let text = "inbox = '/a'\nstate = '/b'\n[dicom]\ncalling_ae_titles = ['PEER']\npeers = ['127.0.0.1']";
    Config::parse(text, Path::new("/")).unwrap().dicom.unwrap()
});

/// A request for an association from PEER to CHESTLIGHT for CR images in explicit VR little endian, so that not every
/// input has to find one.
const REQUEST: &[u8] = include_bytes!("../fuzz_targets/association_request.bin");

struct Peer(Cursor<Vec<u8>>);

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Peer {
    fn wait_until(&mut self, _: Instant) {}
}

struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Object for Nowhere {
    fn keep(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

impl Landing for Nowhere {
    fn begin(&self) -> io::Result<Box<dyn Object + '_>> {
        Ok(Box::new(Nowhere))
    }
}

pub fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let said = if first & 1 == 0 { rest.to_vec() } else { [REQUEST, rest].concat() };
    serve(
        &mut Peer(Cursor::new(said)),
        &Reception { config: &DICOM, transfer_syntaxes: &TRANSFER_SYNTAXES, landing: &Nowhere },
    );
}
