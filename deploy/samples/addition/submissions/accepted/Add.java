// The plain solution in Java.
import java.util.Scanner;

public class Add {
  public static void main(String[] args) {
    Scanner in = new Scanner(System.in);
    System.out.println(in.nextLong() + in.nextLong());
  }
}
