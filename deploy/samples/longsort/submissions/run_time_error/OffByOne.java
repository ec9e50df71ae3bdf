// Reads one number more than there are: NoSuchElementException.
import java.util.Arrays;
import java.util.Scanner;

public class OffByOne {
  public static void main(String[] args) {
    Scanner in = new Scanner(System.in);
    int[] values = new int[in.nextInt()];
    for (int i = 0; i <= values.length; ++i) values[i] = in.nextInt();
    Arrays.sort(values);
    for (int value : values) System.out.println(value);
  }
}
