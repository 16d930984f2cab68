//! The golden ratio, to which neighbouring Fibonacci numbers tend: golden-ratio STEPS.

fn main() {
    let steps: u32 = std::env::args().nth(1).and_then(|steps| steps.parse().ok()).expect("usage: golden-ratio STEPS");
    let (mut smaller, mut larger) = (1_u128, 1_u128);
    for step in 1..=steps {
        (smaller, larger) = (larger, smaller + larger);
        if step % 10 == 0 {
            eprintln!("step {step}: {larger} / {smaller}");
        }
    }
    println!("{:.15}", larger as f64 / smaller as f64);
}
