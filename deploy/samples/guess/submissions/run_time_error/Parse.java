// Takes the reply for a number: NumberFormatException.
import java.util.Scanner;

public class Parse {
  public static void main(String[] args) {
    System.out.println("? 500");
    int reply = Integer.parseInt(new Scanner(System.in).next());
    System.out.println("! " + (500 + reply));
  }
}
