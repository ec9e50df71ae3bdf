// Java's own function; prints 5.0E200 for the huge one, which is the same number.
import java.util.Scanner;

public class Hypot {
  public static void main(String[] args) {
    String[] sides = new Scanner(System.in).nextLine().split(" ");
    System.out.println(Math.hypot(Double.parseDouble(sides[0]), Double.parseDouble(sides[1])));
  }
}
