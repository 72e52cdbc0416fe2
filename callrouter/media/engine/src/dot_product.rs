//! The inner loop of every filter.

/// Sums that are added up side by side, which the processor does at once.
const LANES: usize = 8;

/// Over as many as both have.
pub fn dot_product(samples: &[f32], taps: &[f32]) -> f32 {
    let length = samples.len().min(taps.len());
    let (samples, taps) = (samples[..length].chunks_exact(LANES), taps[..length].chunks_exact(LANES));
    let rest: f32 = samples.remainder().iter().zip(taps.remainder()).map(|(sample, tap)| sample * tap).sum();
    let mut sums = [0.0; LANES];
    for (samples, taps) in samples.zip(taps) {
        sums.iter_mut().zip(samples.iter().zip(taps)).for_each(|(sum, (sample, tap))| *sum += sample * tap);
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_shorter_of_both() {
        for length in [0, 1, 7, 8, 9, 31] {
            let samples: Vec<f32> = (0..length).map(|n| n as f32).collect();
            let expected: f32 = samples.iter().map(|sample| sample * 2.0).sum();
            assert_eq!(dot_product(&samples, &[2.0; 40]), expected);
            assert_eq!(dot_product(&[2.0; 40], &samples), expected);
        }
    }
}
