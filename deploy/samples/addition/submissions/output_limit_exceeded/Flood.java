// Prints the right number again and again.
import java.util.Scanner;

public class Flood {
  public static void main(String[] args) {
    Scanner in = new Scanner(System.in);
    String sum = (in.nextLong() + in.nextLong()) + "\n";
    while (true) System.out.print(sum.repeat(1000));
  }
}
