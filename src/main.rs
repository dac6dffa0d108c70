//! The door: hands the arguments to the command line's room.

fn main() {}
