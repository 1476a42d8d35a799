//! The sections `[dicom]`, `[dicom.tls]` and `[dicom.pacs]`: the only ones that open a socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::{Reader, Section, described};

/// Longest application entity title, characters (PS3.5, VR AE).
const MAX_TITLE: usize = 16;

/// A listener for objects from X-ray units and archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dicom {
    /// What this unit is called.
    pub ae_title: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The titles that may call; never empty.
    pub calling_ae_titles: Vec<String>,
    /// The addresses that may connect; never empty.
    pub peers: Vec<IpAddr>,
    /// Associations at a time.
    pub max_associations: usize,
    /// What one PDU may take from its first byte to its last.
    pub read: Duration,
    /// How long an association may be silent between two messages.
    pub idle: Duration,
    /// What one object may take.
    pub object: Duration,
    /// What the listener proves itself with and checks its peers by; without it what they say can be overheard.
    pub tls: Option<Tls>,
    /// Where results are sent.
    pub pacs: Option<Pacs>,
}

/// An archive that gets the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pacs {
    /// What it is called.
    pub ae_title: String,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What this unit calls itself there.
    pub calling_ae_title: String,
    /// What this unit proves itself with and checks the archive by; without it what is sent can be overheard.
    pub tls: Option<Tls>,
}

/// Files in PEM form for connections by TLS, on which each side shows a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The unit's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key, which only its owner may read.
    pub key: PathBuf,
    /// The authorities whose certificates peers must show.
    pub peer_ca: PathBuf,
}

impl<'t> Reader<'t> {
    /// The section with what is wrong in it told; `None` where there is none.
    pub(super) fn dicom(&mut self, root: &mut Section<'t>, base: &Path) -> Option<Dicom> {
        if !root.table.contains_key("dicom") {
            return None;
        }
        let mut section = self.section(root, "dicom");
        let mut inner = |key, name| {
            let is_there = section.table.contains_key(key);
            is_there.then(|| Section { name, table: self.section(&mut section, key).table })
        };
        let (pacs, tls) = (inner("pacs", "dicom.pacs"), inner("tls", "dicom.tls"));
        let [tls, archive_tls] = tls.and_then(|section| self.tls(section, base)).unwrap_or_default();
        let ae_title = self.title(&mut section, "ae_title").unwrap_or_else(|| "CHESTLIGHT".to_owned());
        let address = self.address(&mut section, "listen").unwrap_or(Ipv4Addr::LOCALHOST.into());
        let port = self.port(&mut section, 11_112);
        let calling_ae_titles = self.list(&mut section, "calling_ae_titles", "AE titles", title);
        let peers = self.list(&mut section, "peers", "IP addresses", |text| text.parse().ok());
        let max_associations = self.whole_number(&mut section, "max_associations", 1..=64, 8);
        let read = self.whole_number(&mut section, "read_seconds", 1..=600, 30);
        let idle = self.whole_number(&mut section, "idle_seconds", 1..=3_600, 60);
        let object = self.whole_number(&mut section, "object_seconds", 1..=3_600, 600);
        self.unknown(&section);
        let pacs = pacs.and_then(|section| self.pacs(section, &ae_title, archive_tls));
        Some(Dicom {
            listen: SocketAddr::new(address, port),
            calling_ae_titles,
            peers: peers.into_iter().map(|ip: IpAddr| ip.to_canonical()).collect(),
            max_associations: usize::try_from(max_associations).unwrap_or(1),
            read: Duration::from_secs(read),
            idle: Duration::from_secs(idle),
            object: Duration::from_secs(object),
            tls,
            pacs,
            ae_title,
        })
    }

    /// What the listener and what the outbox speak TLS with; `None` where something is missing or wrong, which is told.
    fn tls(&mut self, mut section: Section<'t>, base: &Path) -> Option<[Option<Tls>; 2]> {
        let wanted = ["listener", "archive"].map(|key| self.truth(&mut section, key, true));
        let mut file = |key| {
            if !section.table.contains_key(key) {
                self.missing(&section, key, "is missing; it must name a file in PEM form");
            }
            self.path(&mut section, key, base).map(|placed| placed.path)
        };
        let (certificate, key, peer_ca) = (file("certificate"), file("key"), file("peer_ca"));
        self.unknown(&section);
        let tls = Tls { certificate: certificate?, key: key?, peer_ca: peer_ca? };
        Some(wanted.map(|wanted| wanted.then(|| tls.clone())))
    }

    fn pacs(&mut self, mut section: Section<'t>, own: &str, tls: Option<Tls>) -> Option<Pacs> {
        for key in ["ae_title", "host"] {
            if !section.table.contains_key(key) {
                self.missing(&section, key, "is missing; it must name the archive");
            }
        }
        let ae_title = self.title(&mut section, "ae_title");
        let host = self.text(&mut section, "host", "a host name or an address in quotes", |text| {
            let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
            (!text.is_empty() && text.len() <= 253 && text.chars().all(part)).then(|| text.to_owned())
        });
        let port = self.port(&mut section, 104);
        let calling = self.title(&mut section, "calling_ae_title").unwrap_or_else(|| own.to_owned());
        self.unknown(&section);
        Some(Pacs { ae_title: ae_title?, host: host?, port, calling_ae_title: calling, tls })
    }

    fn title(&mut self, section: &mut Section<'t>, key: &str) -> Option<String> {
        self.text(section, key, "an AE title: 1 to 16 ASCII characters in quotes, no backslash", title)
    }

    fn address(&mut self, section: &mut Section<'t>, key: &str) -> Option<IpAddr> {
        self.text(section, key, "an IP address in quotes", |text| text.parse().ok())
    }

    fn port(&mut self, section: &mut Section<'t>, default: u16) -> u16 {
        // The range makes it one.
        u16::try_from(self.whole_number(section, "port", 1..=65_535, default.into())).unwrap_or(default)
    }

    /// A list of at least one text; what is wrong or missing is told.
    fn list<T>(
        &mut self,
        section: &mut Section<'t>,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = section.table.remove(key) else {
            self.missing(section, key, &format!("is missing; it must list the {what} that may send films"));
            return Vec::new();
        };
        let at = value.span().start;
        let DeValue::Array(items) = value.into_inner() else {
            self.problem(at, section.key(key), format!("must be a list of {what} in quotes"));
            return Vec::new();
        };
        if items.is_empty() {
            self.problem(at, section.key(key), format!("must list at least one of the {what}"));
        }
        let mut parsed = Vec::new();
        for item in items.iter() {
            match item.get_ref().as_str().and_then(&parse) {
                Some(value) => parsed.push(value),
                None => {
                    let wrong = format!("must list {what} in quotes, not {}", described(item.get_ref()));
                    self.problem(item.span().start, section.key(key), wrong);
                }
            }
        }
        parsed
    }
}

fn title(text: &str) -> Option<String> {
    let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'\\';
    let whole = (1..=MAX_TITLE).contains(&text.len()) && text.trim() == text;
    (whole && text.bytes().all(allowed)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Dicom;
    use crate::config::Config;

    fn parse(dicom: &str) -> Result<Config, String> {
        let told = |problems: Vec<_>| problems.iter().map(|it: &crate::config::Problem| format!("{it}\n")).collect();
        Config::parse(&format!("inbox = 'a'\nstate = 'b'\n{dicom}"), Path::new("/")).map_err(told)
    }

    #[test]
    fn without_the_section_there_is_no_listener_and_with_it_loopback_alone() {
        assert_eq!(parse("").unwrap().dicom, None);
        let least = parse("[dicom]\ncalling_ae_titles = ['XRAY1']\npeers = ['::ffff:127.0.0.1']\n").unwrap();
        let dicom = least.dicom.unwrap();
        assert!(dicom.listen.ip().is_loopback());
        assert_eq!((dicom.listen.port(), dicom.pacs), (11_112, None));
        assert!(dicom.peers[0].is_ipv4(), "an address is compared as the one that it is");
    }

    #[test]
    fn the_example_shows_real_keys_with_their_defaults() {
        let example = include_str!("../../chestlight.example.toml");
        let (_, section) = example.split_once("\n# [dicom]\n").unwrap();
        // The comments that begin with its name end with an empty line.
        let lines = section.lines().take_while(|line| line.starts_with('#'));
        let lines = lines.map(|line| line.strip_prefix("# ").unwrap_or_default());
        let shown = parse(&format!("[dicom]\n{}\n", lines.collect::<Vec<_>>().join("\n"))).unwrap().dicom.unwrap();
        assert!(shown.pacs.as_ref().is_some_and(|pacs| pacs.port == 104 && pacs.calling_ae_title == shown.ae_title));
        assert!(shown.tls.is_some() && shown.tls == shown.pacs.as_ref().unwrap().tls);
        let least = parse("[dicom]\ncalling_ae_titles = ['XRAY1']\npeers = ['127.0.0.1']\n").unwrap().dicom.unwrap();
        assert_eq!(Dicom { pacs: None, tls: None, ..shown }, least);
    }

    #[test]
    fn tls_is_for_both_sides_unless_one_of_them_is_excepted() {
        let both = "[dicom]\ncalling_ae_titles = ['X']\npeers = ['127.0.0.1']\n\
                    [dicom.pacs]\nae_title = 'A'\nhost = 'h'\n\
                    [dicom.tls]\ncertificate = 'c.pem'\nkey = '/k.pem'\npeer_ca = 'ca.pem'\n";
        for (more, listener, archive) in
            [("", true, true), ("listener = false\n", false, true), ("archive = false\n", true, false)]
        {
            let dicom = parse(&format!("{both}{more}")).unwrap().dicom.unwrap();
            assert_eq!((dicom.tls.is_some(), dicom.pacs.unwrap().tls.is_some()), (listener, archive), "{more}");
        }
        let tls = parse(both).unwrap().dicom.unwrap().tls.unwrap();
        assert_eq!((tls.certificate.as_path(), tls.key.as_path()), (Path::new("/c.pem"), Path::new("/k.pem")));
    }

    #[test]
    fn every_mistake_in_the_sections_is_told_at_once() {
        let told = parse(
            "[dicom]\n\
             ae_title = 'TOO LONG FOR A TITLE'\n\
             listen = 'localhost'\n\
             port = 0\n\
             calling_ae_titles = []\n\
             peers = ['10.0.0.300', 7]\n\
             max_associations = 1000\n\
             promiscuous = true\n\
             [dicom.pacs]\n\
             host = 'a b'\n\
             calling_ae_title = 'A\\B'\n\
             user = 'x'\n\
             [dicom.tls]\n\
             key = ''\n\
             peer_ca = 'ca.pem'\n\
             archive = 'no'\n\
             password = 'x'\n",
        );
        let title = "must be an AE title: 1 to 16 ASCII characters in quotes, no backslash, not";
        let wanted = [
            "dicom.tls.certificate: is missing; it must name a file in PEM form",
            "dicom.pacs.ae_title: is missing; it must name the archive",
            &format!("line 4: dicom.ae_title: {title} \"TOO LONG FOR A TITLE\""),
            "line 5: dicom.listen: must be an IP address in quotes, not \"localhost\"",
            "line 6: dicom.port: must be a whole number from 1 to 65535, not 0",
            "line 7: dicom.calling_ae_titles: must list at least one of the AE titles",
            "line 8: dicom.peers: must list IP addresses in quotes, not \"10.0.0.300\"",
            "line 8: dicom.peers: must list IP addresses in quotes, not 7",
            "line 9: dicom.max_associations: must be a whole number from 1 to 64, not 1000",
            "line 10: dicom.promiscuous: is not a known key",
            "line 12: dicom.pacs.host: must be a host name or an address in quotes, not \"a b\"",
            &format!("line 13: dicom.pacs.calling_ae_title: {title} \"A\\\\B\""),
            "line 14: dicom.pacs.user: is not a known key",
            "line 16: dicom.tls.key: must be a path in quotes, not \"\"",
            "line 18: dicom.tls.archive: must be true or false, not \"no\"",
            "line 19: dicom.tls.password: is not a known key",
        ];
        assert_eq!(told.unwrap_err().lines().collect::<Vec<_>>(), wanted);
        let missing = "dicom.calling_ae_titles: is missing; it must list the AE titles that may send films\n\
                       dicom.peers: is missing; it must list the IP addresses that may send films\n";
        assert_eq!(parse("[dicom]").unwrap_err(), missing);
        assert_eq!(parse("[dicom.pacs]\nae_title = 'A'\nhost = 'h'").unwrap_err(), missing);
        assert!(parse("dicom = 7").unwrap_err().contains("line 3: dicom: must be a section, [dicom], not 7"));
    }
}
