// Binary search in Java; println() of System.out flushes by itself.
import java.util.Scanner;

public class Halves {
  public static void main(String[] args) {
    Scanner in = new Scanner(System.in);
    int low = 1;
    int high = 1000;
    while (low < high) {
      int middle = (low + high + 1) / 2;
      System.out.println("? " + middle);
      if (in.next().equals("lower")) high = middle - 1;
      else low = middle;
    }
    System.out.println("! " + low);
  }
}
