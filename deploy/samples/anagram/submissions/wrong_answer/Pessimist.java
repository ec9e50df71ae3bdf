// Says that there is no anagram, whatever the word.
public class Pessimist {
  public static void main(String[] args) {
    System.out.println("-");
  }
}
