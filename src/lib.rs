//! Offline reader of chest radiographs for portable X-ray units. Research use, not a diagnosis.
//!
//! The rooms stand in the order in which a radiograph walks through them; `docs/architecture.md` has the whole
//! plan and the invariants that the tests hold.
//!
//! [`intake`] → [`spool`] → [`decode`] → [`gate`] → [`preprocess`] → [`model`] → [`verdict`] → [`journal`] → [`show`]
//!
//! [`reading`] is the middle as one function, [`daemon`] the whole road as one loop.

pub mod choose;
pub mod clock;
pub mod config;
pub mod control;
pub mod cores;
pub mod daemon;
pub mod decode;
pub mod deidentify;
pub mod digest;
pub mod dimse;
pub mod drift;
pub mod explain;
pub mod fault;
pub mod gate;
pub mod gpio;
pub mod health;
pub mod intake;
pub mod journal;
pub mod journald;
pub mod language;
pub mod model;
pub mod outbox;
pub mod phantom;
pub mod preprocess;
pub mod privacy;
pub mod radiograph;
pub mod reading;
pub mod refusal;
pub mod retention;
pub mod retry;
pub mod self_test;
pub mod show;
pub mod spool;
pub mod stick;
pub mod tls;
pub mod verdict;
