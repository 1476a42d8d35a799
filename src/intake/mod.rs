//! Where films come from: a watched folder, DICOM peers, and a camera over a light box.

pub mod button;
pub mod camera;
mod completeness;
pub mod dicom_scp;
pub mod folder;
