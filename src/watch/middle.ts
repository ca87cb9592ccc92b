/** The median of many values, thousands of times a second. */

/**
 * What would be in the middle if they were sorted; 0 for none. Orders them in place, and only so far: by Hoare's selection, as sorting would take most
 * of the time of a comparison.
 */
export function middleOf(values: Float32Array): number {
  const middle = values.length >> 1;
  for (let [left, right] = [0, values.length - 1]; left < right; ) {
    const pivot = values[middle] as number;
    let [low, high] = [left, right];
    while (low <= high) {
      while ((values[low] as number) < pivot) low++;
      while ((values[high] as number) > pivot) high--;
      if (low > high) break;
      const swapped = values[low] as number;
      values[low++] = values[high] as number;
      values[high--] = swapped;
    }
    if (high < middle) left = low;
    if (low > middle) right = high;
  }
  return values[middle] ?? 0;
}
