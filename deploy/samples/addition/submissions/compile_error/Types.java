// A text is no number.
public class Types {
  public static void main(String[] args) {
    int sum = "3" + 4;
    System.out.println(sum);
  }
}
