// Notices that an int is too small for the sum, but catches no ArithmeticException.
import java.util.Scanner;

public class Overflow {
  public static void main(String[] args) {
    Scanner in = new Scanner(System.in);
    int a = Math.toIntExact(in.nextLong());
    int b = Math.toIntExact(in.nextLong());
    System.out.println(Math.addExact(a, b));
  }
}
