//! A model as one file, `NAME.clm`: network, manifest, card and version, in a container that is read within stated
//! bounds. Pure. The signature is a file of its own beside it ([`super::signature`]), over all bytes of this one.

use thiserror::Error;

use super::ModelFiles;

/// First bytes of every bundle; the last one is the container's version.
const MAGIC: &[u8; 8] = b"CLMODEL\x01";
/// Magic, model version, three lengths.
const HEADER: usize = MAGIC.len() + 8 + 3 * 4;

/// A model's files with its version, as they travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Grows with every release of the signer, whatever the models' names; a unit goes only forwards.
    pub version: u64,
    /// Manifest and network.
    pub files: ModelFiles,
    /// The model card, Markdown.
    pub card: String,
}

/// The bytes are no bundle.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BundleError {
    /// Other first bytes.
    #[error("it is not a chestlight model bundle")]
    Foreign,
    /// A container of another version.
    #[error("it is a bundle of container version {0}, this chestlight reads 1; update chestlight")]
    Version(u8),
    /// A part is larger than it may be.
    #[error("its {part} has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its length.
        bytes: usize,
        /// Its largest length.
        limit: usize,
    },
    /// The lengths in the header do not add up to the file.
    #[error("it is cut off or has bytes too many: {found} bytes, its header says {stated}")]
    Length {
        /// Bytes of the file.
        found: usize,
        /// Bytes that the header says.
        stated: usize,
    },
    /// A text is none.
    #[error("its {0} is not UTF-8 text")]
    NotText(&'static str),
}

impl Bundle {
    /// Largest manifest, bytes.
    pub const MAX_MANIFEST: usize = 256 << 10;
    /// Largest card, bytes.
    pub const MAX_CARD: usize = 1 << 20;
    /// Largest network, bytes.
    pub const MAX_NETWORK: usize = 64 << 20;
    /// Largest bundle, bytes: nobody need read more of a file.
    pub const MAX: usize = HEADER + Self::MAX_MANIFEST + Self::MAX_CARD + Self::MAX_NETWORK;

    /// Takes a bundle apart. Allocates no more than `bytes` has, and says nothing of whether the model is any good.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let (magic, rest) = bytes.split_first_chunk::<{ MAGIC.len() }>().ok_or(BundleError::Foreign)?;
        match magic.split_last() {
            Some((1, name)) if Some(name) == MAGIC.get(..7) => {}
            Some((other, name)) if Some(name) == MAGIC.get(..7) => return Err(BundleError::Version(*other)),
            _ => return Err(BundleError::Foreign),
        }
        let short = BundleError::Length { found: bytes.len(), stated: HEADER };
        let (version, mut rest) = rest.split_first_chunk().ok_or(short)?;
        let mut lengths = [0; 3];
        for (length, (part, limit)) in lengths.iter_mut().zip(Self::parts()) {
            let (four, after) =
                rest.split_first_chunk().ok_or(BundleError::Length { found: bytes.len(), stated: HEADER })?;
            *length = u32::from_le_bytes(*four) as usize;
            rest = after;
            if *length > limit {
                return Err(BundleError::TooLarge { part, bytes: *length, limit });
            }
        }
        // Each is within its limit, so their sum is no overflow.
        let stated = HEADER + lengths.iter().sum::<usize>();
        let wrong = || BundleError::Length { found: bytes.len(), stated };
        if stated != bytes.len() {
            return Err(wrong());
        }
        let [manifest, card, _] = lengths;
        let (manifest, rest) = rest.split_at_checked(manifest).ok_or_else(wrong)?;
        let (card, network) = rest.split_at_checked(card).ok_or_else(wrong)?;
        let text =
            |bytes: &[u8], part| str::from_utf8(bytes).map(str::to_owned).map_err(|_| BundleError::NotText(part));
        Ok(Self {
            version: u64::from_le_bytes(*version),
            files: ModelFiles { manifest: text(manifest, "manifest")?, onnx: network.to_vec().into() },
            card: text(card, "card")?,
        })
    }

    /// The file: magic and container version, the model's version as 8 bytes, the lengths of manifest, card and
    /// network as 4 bytes each, all little-endian, then these three.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let contents = [self.files.manifest.as_bytes(), self.card.as_bytes(), &self.files.onnx];
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.version.to_le_bytes());
        for ((part, limit), content) in Self::parts().into_iter().zip(contents) {
            let too_large = BundleError::TooLarge { part, bytes: content.len(), limit };
            match u32::try_from(content.len()) {
                Ok(length) if content.len() <= limit => bytes.extend(length.to_le_bytes()),
                _ => return Err(too_large),
            }
        }
        contents.into_iter().for_each(|content| bytes.extend_from_slice(content));
        Ok(bytes)
    }

    /// Name and limit of each part, in their order.
    fn parts() -> [(&'static str, usize); 3] {
        [("manifest", Self::MAX_MANIFEST), ("card", Self::MAX_CARD), ("network", Self::MAX_NETWORK)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bundle() -> Bundle {
        let files = ModelFiles { manifest: "name = 'a'".into(), onnx: vec![1, 2, 3].into() };
        Bundle { version: 7, files, card: "# A".into() }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = bundle().to_bytes().unwrap();
        assert_eq!(
            bytes,
            b"CLMODEL\x01\x07\0\0\0\0\0\0\0\x0a\0\0\0\x03\0\0\0\x03\0\0\0name = 'a'# A\x01\x02\x03".as_slice()
        );
        assert_eq!(Bundle::parse(&bytes), Ok(bundle()));
    }

    #[test]
    fn what_is_no_bundle_is_told_with_what_is_wrong() {
        let good = bundle().to_bytes().unwrap();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Bundle::parse(&bytes)
        };
        let length = |found, stated| Err(BundleError::Length { found, stated });
        let too_large = |part, bytes, limit| Err(BundleError::TooLarge { part, bytes, limit });
        for (found, expected) in [
            (Bundle::parse(b""), Err(BundleError::Foreign)),
            (with(0, b'c'), Err(BundleError::Foreign)),
            (with(7, 2), Err(BundleError::Version(2))),
            (Bundle::parse(&good[..20]), length(20, 28)),
            (Bundle::parse(&good[..43]), length(43, 44)),
            (Bundle::parse(&[&good[..], b"x"].concat()), length(45, 44)),
            (with(16, 11), length(44, 45)),
            (with(19, 1), too_large("manifest", (1 << 24) + 10, Bundle::MAX_MANIFEST)),
            (with(23, 1), too_large("card", (1 << 24) + 3, Bundle::MAX_CARD)),
            (with(27, 255), too_large("network", (255 << 24) + 3, Bundle::MAX_NETWORK)),
            (with(30, 0xFF), Err(BundleError::NotText("manifest"))),
            (with(39, 0xFF), Err(BundleError::NotText("card"))),
        ] {
            assert_eq!(found, expected);
        }
        let card = "x".repeat(Bundle::MAX_CARD + 1);
        let made = Bundle { card, ..bundle() }.to_bytes();
        let limit = Bundle::MAX_CARD;
        assert_eq!(made, Err(BundleError::TooLarge { part: "card", bytes: limit + 1, limit }));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            version in any::<u64>(), manifest in any::<String>(), card in any::<String>(), onnx in any::<Vec<u8>>()
        ) {
            let bundle = Bundle { version, files: ModelFiles { manifest, onnx: onnx.into() }, card };
            prop_assert_eq!(Bundle::parse(&bundle.to_bytes().unwrap()), Ok(bundle));
        }
    }
}
