//! Where films come from. So far: a watched folder.

mod completeness;
pub mod folder;
