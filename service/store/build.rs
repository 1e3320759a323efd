//! Tells cargo that the program is made of the migrations too: it embeds those that were there, and only a build script can
//! say that others may come.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
