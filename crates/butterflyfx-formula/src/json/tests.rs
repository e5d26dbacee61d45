//! Tables and properties of reader and writer.
