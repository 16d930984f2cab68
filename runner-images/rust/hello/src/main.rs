fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "nobody".into());
    println!("Hello, {name}!");
}
