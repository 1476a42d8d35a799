//! Where films come from: a watched folder, and DICOM peers.

pub mod camera;
mod completeness;
pub mod dicom_scp;
pub mod folder;
