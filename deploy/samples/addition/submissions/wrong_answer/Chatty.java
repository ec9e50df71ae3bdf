// The right number with words around it.
import java.util.Scanner;

public class Chatty {
  public static void main(String[] args) {
    Scanner in = new Scanner(System.in);
    System.out.println("The sum is " + (in.nextLong() + in.nextLong()));
  }
}
