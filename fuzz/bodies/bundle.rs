//! Any bytes: a bundle is what it says or is refused, and no signature of another's key holds.

use chestlight::model::{Bundle, SignatureError, TrustedKeys};

const KEY: &str = "untrusted comment: a key that signs nothing here\n\
                   RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";

pub fn run(bytes: &[u8]) {
    if let Ok(bundle) = Bundle::parse(bytes) {
        assert_eq!(bundle.to_bytes().as_deref(), Ok(bytes), "what is read is what was written");
    }
    let keys = TrustedKeys::of(&[("known.pub", KEY)]).expect("a minisign key");
    assert_ne!(keys.verify(b"chestlight", bytes).map(|_| ()), Ok(()), "nobody signed this");
    assert!(matches!(
        TrustedKeys::default().verify(bytes, bytes),
        Err(SignatureError::Unreadable | SignatureError::NoKeys)
    ));
    // A key is a text from outside as well.
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = TrustedKeys::of(&[("any.pub", text)]);
    }
}
