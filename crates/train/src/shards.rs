//! The assignment of parameters, and their moments, to ranks.

/// Divides parameters of these sizes over ranks, largest first, each to the rank with the smallest
/// load so far (the first of equals). Returns the rank of each parameter.
///
/// The loads of two ranks differ by at most the size of one parameter.
pub(crate) fn owners(sizes: &[usize], ranks: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&place| std::cmp::Reverse(sizes[place]));
    let (mut owners, mut loads) = (vec![0; sizes.len()], vec![0; ranks]);
    for place in order {
        let rank = (0..ranks).min_by_key(|&rank| loads[rank]).unwrap_or(0);
        owners[place] = rank;
        loads[rank] += sizes[place];
    }
    owners
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::owners;

    #[test]
    fn the_largest_go_first_and_equals_stay_in_order() {
        assert_eq!(owners(&[1, 8, 3, 3, 2], 2), [0, 0, 1, 1, 1]);
        assert_eq!(owners(&[5, 5, 5], 4), [0, 1, 2]);
        assert_eq!(owners(&[2, 7], 1), [0, 0]);
    }

    proptest! {
        #[test]
        fn ranks_differ_by_one_parameter_at_most(
            sizes in proptest::collection::vec(1_usize..1000, 1..60), ranks in 1_usize..9,
        ) {
            let owners = owners(&sizes, ranks);
            let mut loads = vec![0; ranks];
            owners.iter().zip(&sizes).for_each(|(&owner, size)| loads[owner] += size);
            let (least, most) = (loads.iter().min().unwrap(), loads.iter().max().unwrap());
            prop_assert!(most - least <= *sizes.iter().max().unwrap());
        }
    }
}
